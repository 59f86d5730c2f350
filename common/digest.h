// SHA-256 for content addresses and integrity.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace vernier {

// Lower-case hex, 64 characters.
std::string Sha256Hex(absl::string_view bytes);

// The same, fed in pieces. Thread-compatible.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void Update(absl::string_view bytes);
  // Call once, last.
  std::string FinishHex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `num_bytes` from the system's random source, as lower-case hex. For ids and tokens.
std::string RandomHex(int num_bytes);

}  // namespace vernier
