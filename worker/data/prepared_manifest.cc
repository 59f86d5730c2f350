#include "worker/data/prepared_manifest.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

// An array, not absl::string_view: nlohmann would store that as a list of characters.
constexpr char kFormatName[] = "vernier.prepared.v1";
constexpr int64_t kMaxManifestBytes = 65536;

absl::StatusOr<std::string> Text(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return absl::DataLossError(absl::StrCat(key, " is missing"));
  return it->get<std::string>();
}

absl::StatusOr<int64_t> Number(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_integer())
    return absl::DataLossError(absl::StrCat(key, " is missing"));
  return it->get<int64_t>();
}

}  // namespace

std::string ManifestToJson(const PreparedManifest& manifest) {
  Json json;
  json["format"] = kFormatName;
  json["digest"] = manifest.facts.digest;
  json["tokenizer_digest"] = manifest.facts.tokenizer_digest;
  json["template_digest"] = manifest.facts.template_digest;
  json["row_format"] = manifest.facts.format;
  json["eos_id"] = manifest.facts.eos_id;
  if (!manifest.facts.mixture.empty()) {
    json["mixture"] = Json::array();
    for (const MixturePart& part : manifest.facts.mixture) {
      json["mixture"].push_back({{"num_rows", part.num_rows}, {"weight", part.weight}});
    }
  }
  json["files"] = Json::object();
  for (const auto& [name, file] : manifest.files) {
    json["files"][name] = {{"size_bytes", file.size_bytes}, {"sha256", file.sha256}};
  }
  return json.dump(1) + "\n";
}

absl::StatusOr<PreparedManifest> ManifestFromJson(absl::string_view text) {
  absl::StatusOr<Json> json = ParseBoundedJson(text);
  if (!json.ok()) return absl::DataLossError(json.status().message());
  if (!json->is_object()) return absl::DataLossError("not a JSON object");
  VN_ASSIGN_OR_RETURN(const std::string format, Text(*json, "format"));
  if (format != kFormatName)
    return absl::DataLossError(absl::StrCat("format is ", format, ", not ", kFormatName));
  PreparedManifest manifest;
  VN_ASSIGN_OR_RETURN(manifest.facts.digest, Text(*json, "digest"));
  VN_ASSIGN_OR_RETURN(manifest.facts.tokenizer_digest, Text(*json, "tokenizer_digest"));
  VN_ASSIGN_OR_RETURN(manifest.facts.template_digest, Text(*json, "template_digest"));
  VN_ASSIGN_OR_RETURN(manifest.facts.format, Text(*json, "row_format"));
  VN_ASSIGN_OR_RETURN(const int64_t eos_id, Number(*json, "eos_id"));
  manifest.facts.eos_id = static_cast<int32_t>(eos_id);
  for (const Json& part : json->value("mixture", Json::array())) {
    if (!part.is_object() || !part.contains("weight") || !part["weight"].is_number())
      return absl::DataLossError("a part of the mixture is malformed");
    VN_ASSIGN_OR_RETURN(const int64_t num_rows, Number(part, "num_rows"));
    manifest.facts.mixture.push_back({.num_rows = num_rows, .weight = part["weight"].get<double>()});
  }
  const auto files = json->find("files");
  if (files == json->end() || !files->is_object()) return absl::DataLossError("files is missing");
  for (const auto& [name, file] : files->items()) {
    if (!file.is_object()) return absl::DataLossError("a file's entry is not an object");
    PreparedManifest::File& entry = manifest.files[name];
    VN_ASSIGN_OR_RETURN(entry.size_bytes, Number(file, "size_bytes"));
    VN_ASSIGN_OR_RETURN(entry.sha256, Text(file, "sha256"));
  }
  return manifest;
}

absl::StatusOr<std::string> ReportToJson(const v1::DataReport& report) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(report, &text, options);
  if (!status.ok()) return absl::InternalError(absl::StrCat("report.json: ", status.ToString()));
  return text;
}

absl::StatusOr<v1::DataReport> ReportFromJson(absl::string_view text) {
  v1::DataReport report;
  const auto status = google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, &report);
  if (!status.ok()) return absl::DataLossError(absl::StrCat("report.json: ", status.ToString()));
  return report;
}

absl::StatusOr<PreparedManifest> ReadManifest(Blobs& blobs, const std::string& prefix) {
  const std::string key = absl::StrCat(prefix, "/", kManifestFile);
  VN_ASSIGN_OR_RETURN(const std::string text, ReadWhole(blobs, key, kMaxManifestBytes));
  absl::StatusOr<PreparedManifest> manifest = ManifestFromJson(text);
  if (!manifest.ok()) return Annotate(manifest.status(), key);
  return manifest;
}

absl::StatusOr<std::string> ReadListed(Blobs& blobs, const std::string& prefix,
                                       const PreparedManifest& manifest, const std::string& name,
                                       int64_t max_bytes) {
  const std::string key = absl::StrCat(prefix, "/", name);
  const auto it = manifest.files.find(name);
  if (it == manifest.files.end())
    return absl::DataLossError(absl::StrCat(key, ": the manifest does not list it"));
  absl::StatusOr<std::string> bytes = ReadWhole(blobs, key, max_bytes);
  if (absl::IsNotFound(bytes.status()))
    return absl::DataLossError(absl::StrCat(key, ": the file is gone; prepare again"));
  VN_RETURN_IF_ERROR(bytes.status());
  if (static_cast<int64_t>(bytes->size()) != it->second.size_bytes ||
      Sha256Hex(*bytes) != it->second.sha256) {
    return absl::DataLossError(absl::StrCat(key, ": size or digest differs from the manifest; delete ",
                                            prefix, " and prepare again"));
  }
  return bytes;
}

}  // namespace vernier::data
