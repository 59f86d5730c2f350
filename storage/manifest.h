// manifest.json: the list of parts that makes a folder of objects one thing (a checkpoint, a model, an
// artifact, a dataset). It is written last, create-if-absent: the thing exists when its manifest does.
// Format: docs/formats/manifest.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/object_store.h"

namespace vernier::storage {

inline constexpr absl::string_view kManifestName = "manifest.json";

struct ManifestPart {
  std::string name;  // below the folder, a valid key: "model.safetensors", "optimizer/rank-0.safetensors"
  int64_t size_bytes = 0;
  std::string sha256;  // lower-case hex
  bool operator==(const ManifestPart&) const = default;
};

struct Manifest {
  std::string format;  // "vernier.checkpoint", "vernier.model", ...
  int version = 1;     // of the format, >= 1
  std::vector<ManifestPart> parts;
  nlohmann::json fields = nlohmann::json::object();  // what the format adds; an object

  // The part called `name`, or null.
  const ManifestPart* Find(absl::string_view name) const;
  // Sum of the parts' sizes.
  int64_t TotalBytes() const;
};

// Content address of a set of parts: SHA-256 over "<name> <sha256>\n" of each, sorted by name.
std::string DigestOfParts(std::vector<ManifestPart> parts);

// As stored: equal manifests give equal bytes (parts are sorted by name, object members too).
std::string ManifestToJson(const Manifest& manifest);
// InvalidArgument, starting with `name`: not a manifest; says which field.
absl::StatusOr<Manifest> ManifestFromJson(absl::string_view text, absl::string_view name);

// Writes <folder>/manifest.json and returns the SHA-256 of its bytes.
// AlreadyExists: another manifest is there.
// InvalidArgument: a part is called twice, "manifest.json" or no valid key.
absl::StatusOr<std::string> WriteManifest(ObjectStore& store, absl::string_view folder,
                                          const Manifest& manifest);

// NotFound: no manifest (the thing does not exist, or is unfinished). DataLoss: the manifest cannot be read.
// FailedPrecondition: it is of another format, or of a version above `max_version`. With `sha256` not "",
// DataLoss also when the manifest's own digest is another.
absl::StatusOr<Manifest> ReadManifest(ObjectStore& store, absl::string_view folder, absl::string_view format,
                                      int max_version = 1, absl::string_view sha256 = "");

// Compares size and digest of every part with the objects. DataLoss: names the part and what differs.
absl::Status VerifyParts(ObjectStore& store, absl::string_view folder, const Manifest& manifest);
// One part.
absl::Status VerifyPart(ObjectStore& store, absl::string_view folder, const ManifestPart& part);

}  // namespace vernier::storage
