// Every source, one line each.
#include "common/registry.h"

#include <memory>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "worker/data/sources/jsonl.h"
#include "worker/data/sources/source.h"

namespace vernier::data {
namespace {

constexpr SourceEntry kSources[] = {
    {"jsonl", &CreateJsonlSource},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> CreateSource(absl::string_view name, ReadAtFn read) {
  VN_ASSIGN_OR_RETURN(const SourceEntry* entry, FindEntry(absl::MakeConstSpan(kSources), "source", name));
  return entry->create(std::move(read));
}

std::vector<std::string> KnownSources() {
  std::vector<std::string> names;
  for (const SourceEntry& entry : kSources) names.emplace_back(entry.name);
  return names;
}

ReadAtFn ReadFromMemory(absl::string_view bytes) {
  return [bytes](int64_t offset, int64_t max_bytes) -> absl::StatusOr<std::string> {
    if (offset >= static_cast<int64_t>(bytes.size())) return std::string();
    return std::string(bytes.substr(static_cast<size_t>(offset), static_cast<size_t>(max_bytes)));
  };
}

absl::StatusOr<ReadAtFn> ReadFromFile(const std::string& path) {
  // Shared with the copies that std::function makes of the reader.
  VN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  auto shared = std::make_shared<MappedFile>(std::move(file));
  return ReadAtFn([shared](int64_t offset, int64_t max_bytes) -> absl::StatusOr<std::string> {
    return ReadFromMemory(shared->bytes())(offset, max_bytes);
  });
}

}  // namespace vernier::data
