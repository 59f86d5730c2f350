// Who calls: every call but health checks carries `authorization: Bearer TOKEN`.
#pragma once

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/strings/string_view.h"

namespace vernier::server {

// Tenants come with API keys; until then everything belongs to this one. The one place where a caller gets
// its tenant.
inline constexpr absl::string_view kDefaultTenant = "default";

// Checks the token before any handler runs, reflection included. Thread-safe.
class TokenAuth final : public grpc::AuthMetadataProcessor {
 public:
  // `where` tells callers where the token lies, e.g. a path.
  TokenAuth(std::string token, std::string where);

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  const std::string token_digest_;  // SHA-256: digests have one length, so comparing tells nothing
  const std::string where_;
};

}  // namespace vernier::server
