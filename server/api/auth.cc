#include "server/api/auth.h"

#include <openssl/crypto.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/digest.h"

namespace vernier::server {
namespace {

absl::string_view View(const grpc::string_ref& text) { return {text.data(), text.size()}; }

}  // namespace

TokenAuth::TokenAuth(std::string token, std::string where)
    : token_digest_(Sha256Hex(token)), where_(std::move(where)) {}

grpc::Status TokenAuth::Process(const InputMetadata& metadata, grpc::AuthContext* context,
                                OutputMetadata* consumed, OutputMetadata* response) {
  const auto path = metadata.find(":path");
  if (path != metadata.end() && absl::StartsWith(View(path->second), "/grpc.health.v1.Health/")) {
    return grpc::Status::OK;
  }
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) {
    return grpc::Status(
        grpc::StatusCode::UNAUTHENTICATED,
        absl::StrCat("this call carries no token; send the metadata \"authorization: Bearer TOKEN\" "
                     "with the token in ",
                     where_));
  }
  const absl::string_view value = View(found->second);
  absl::string_view token = value;
  const std::string digest = Sha256Hex(absl::ConsumePrefix(&token, "Bearer ") ? token : "");
  if (CRYPTO_memcmp(digest.data(), token_digest_.data(), digest.size()) != 0) {
    return grpc::Status(
        grpc::StatusCode::UNAUTHENTICATED,
        absl::StrCat("the token of this call is not the server's; the right one lies in ", where_));
  }
  consumed->emplace("authorization", std::string(value));  // handlers and logs never see it
  return grpc::Status::OK;
}

}  // namespace vernier::server
