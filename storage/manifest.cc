#include "storage/manifest.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;
constexpr int64_t kMaxManifestBytes = int64_t{64} << 20;
constexpr size_t kMaxParts = 100'000;

bool IsSha256(absl::string_view text) {
  if (text.size() != 64) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
  });
}

absl::Status CheckParts(const std::vector<ManifestPart>& parts, absl::string_view name) {
  if (parts.size() > kMaxParts) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": parts: has ", parts.size(), ", more than the limit of ", kMaxParts));
  }
  absl::flat_hash_set<absl::string_view> names;
  int64_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const ManifestPart& part = parts[i];
    const std::string where = absl::StrCat(name, ": parts[", i, "]");
    VN_RETURN_IF_ERROR(Annotate(CheckKey(part.name), absl::StrCat(where, ".name")));
    if (part.name == kManifestName) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".name: ", kManifestName, " cannot be its own part"));
    }
    if (!names.insert(part.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".name: \"", part.name, "\" is listed twice"));
    }
    if (part.size_bytes < 0 || part.size_bytes > std::numeric_limits<int64_t>::max() - total) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".size: ", part.size_bytes, " is out of range"));
    }
    total += part.size_bytes;
    if (!IsSha256(part.sha256)) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".sha256: \"", Excerpt(part.sha256), "\" is not 64 lower-case hex digits"));
    }
  }
  return absl::OkStatus();
}

std::string ManifestKey(absl::string_view folder) { return absl::StrCat(folder, "/", kManifestName); }

// The member `field` of `object` if it is of the wanted kind.
template <typename T>
absl::StatusOr<T> Member(const Json& object, const char* field, absl::string_view where,
                         absl::string_view kind, bool (Json::*is)() const noexcept) {
  const auto found = object.find(field);
  if (found == object.end() || !((*found).*is)()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ".", field, ": is missing or not ", kind));
  }
  return found->get<T>();
}

}  // namespace

const ManifestPart* Manifest::Find(absl::string_view name) const {
  const auto found =
      std::find_if(parts.begin(), parts.end(), [&](const ManifestPart& part) { return part.name == name; });
  return found == parts.end() ? nullptr : &*found;
}

int64_t Manifest::TotalBytes() const {
  int64_t total = 0;
  for (const ManifestPart& part : parts) total += part.size_bytes;
  return total;
}

std::string DigestOfParts(std::vector<ManifestPart> parts) {
  std::sort(parts.begin(), parts.end(),
            [](const ManifestPart& a, const ManifestPart& b) { return a.name < b.name; });
  Sha256 hash;
  for (const ManifestPart& part : parts) hash.Update(absl::StrCat(part.name, " ", part.sha256, "\n"));
  return hash.FinishHex();
}

std::string ManifestToJson(const Manifest& manifest) {
  std::vector<ManifestPart> parts = manifest.parts;
  std::sort(parts.begin(), parts.end(),
            [](const ManifestPart& a, const ManifestPart& b) { return a.name < b.name; });
  Json list = Json::array();
  for (const ManifestPart& part : parts) {
    list.push_back({{"name", part.name}, {"size", part.size_bytes}, {"sha256", part.sha256}});
  }
  const Json json = {{"format", manifest.format},
                     {"version", manifest.version},
                     {"parts", std::move(list)},
                     {"fields", manifest.fields}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Manifest> ManifestFromJson(absl::string_view text, absl::string_view name) {
  VN_ASSIGN_OR_RETURN(const Json json, ParseJson(text, name, {.max_bytes = kMaxManifestBytes}));
  if (!json.is_object()) return absl::InvalidArgumentError(absl::StrCat(name, ": is not a JSON object"));
  Manifest manifest;
  const absl::string_view where = name;
  VN_ASSIGN_OR_RETURN(manifest.format,
                      Member<std::string>(json, "format", where, "a string", &Json::is_string));
  VN_ASSIGN_OR_RETURN(const int64_t version,
                      Member<int64_t>(json, "version", where, "an integer", &Json::is_number_integer));
  if (version < 1 || version > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".version: ", version, " is out of range"));
  }
  manifest.version = static_cast<int>(version);
  VN_ASSIGN_OR_RETURN(manifest.fields, Member<Json>(json, "fields", where, "an object", &Json::is_object));
  VN_ASSIGN_OR_RETURN(const Json parts, Member<Json>(json, "parts", where, "an array", &Json::is_array));
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string at = absl::StrCat(name, ".parts[", i, "]");
    if (!parts[i].is_object()) return absl::InvalidArgumentError(absl::StrCat(at, ": is not an object"));
    ManifestPart part;
    VN_ASSIGN_OR_RETURN(part.name, Member<std::string>(parts[i], "name", at, "a string", &Json::is_string));
    VN_ASSIGN_OR_RETURN(part.size_bytes,
                        Member<int64_t>(parts[i], "size", at, "an integer", &Json::is_number_integer));
    VN_ASSIGN_OR_RETURN(part.sha256,
                        Member<std::string>(parts[i], "sha256", at, "a string", &Json::is_string));
    manifest.parts.push_back(std::move(part));
  }
  VN_RETURN_IF_ERROR(CheckParts(manifest.parts, name));
  return manifest;
}

absl::StatusOr<std::string> WriteManifest(ObjectStore& store, absl::string_view folder,
                                          const Manifest& manifest) {
  const std::string key = ManifestKey(folder);
  VN_RETURN_IF_ERROR(CheckParts(manifest.parts, key));
  if (!manifest.fields.is_object())
    return absl::InvalidArgumentError(absl::StrCat(key, ": fields: is not an object"));
  const std::string text = ManifestToJson(manifest);
  VN_RETURN_IF_ERROR(store.PutIfAbsent(key, text));
  return Sha256Hex(text);
}

absl::StatusOr<Manifest> ReadManifest(ObjectStore& store, absl::string_view folder, absl::string_view format,
                                      int max_version, absl::string_view sha256) {
  const std::string key = ManifestKey(folder);
  VN_ASSIGN_OR_RETURN(const std::string text, store.Get(key, kMaxManifestBytes));
  if (!sha256.empty()) {
    if (const std::string got = Sha256Hex(text); got != sha256) {
      return absl::DataLossError(absl::StrCat(key, ": SHA-256 is ", got, ", expected ", sha256));
    }
  }
  absl::StatusOr<Manifest> manifest = ManifestFromJson(text, key);
  if (!manifest.ok()) return absl::DataLossError(manifest.status().message());
  if (manifest->format != format) {
    return absl::FailedPreconditionError(
        absl::StrCat(key, ": is a \"", Excerpt(manifest->format), "\", not a \"", format, "\""));
  }
  if (manifest->version > max_version) {
    return absl::FailedPreconditionError(absl::StrCat(key, ": has version ", manifest->version, " of ",
                                                      format, "; this build reads up to ", max_version,
                                                      ": use the version that wrote it or a newer one"));
  }
  return manifest;
}

absl::Status VerifyPart(ObjectStore& store, absl::string_view folder, const ManifestPart& part) {
  const std::string key = absl::StrCat(folder, "/", part.name);
  const absl::StatusOr<ObjectInfo> info = store.Head(key);
  if (absl::IsNotFound(info.status())) {
    return absl::DataLossError(absl::StrCat(key, ": is in the manifest but does not exist"));
  }
  VN_RETURN_IF_ERROR(info.status());
  if (info->size_bytes != part.size_bytes) {
    return absl::DataLossError(
        absl::StrCat(key, ": manifest promises ", part.size_bytes, " bytes, object has ", info->size_bytes));
  }
  VN_ASSIGN_OR_RETURN(const ByteDigest digest, DigestOf(store, key));
  if (digest.sha256 != part.sha256) {
    return absl::DataLossError(
        absl::StrCat(key, ": SHA-256 is ", digest.sha256, ", the manifest promises ", part.sha256));
  }
  return absl::OkStatus();
}

absl::Status VerifyParts(ObjectStore& store, absl::string_view folder, const Manifest& manifest) {
  for (const ManifestPart& part : manifest.parts) VN_RETURN_IF_ERROR(VerifyPart(store, folder, part));
  return absl::OkStatus();
}

}  // namespace vernier::storage
