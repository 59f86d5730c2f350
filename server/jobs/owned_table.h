// Things with a name that belong to tenants, in memory: found by name, digest, or the start of a digest.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/text.h"
#include "server/jobs/record.pb.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/model.pb.h"

namespace vernier::server {

inline const std::string& NameOf(const v1::Dataset& dataset) { return dataset.name(); }
inline const std::string& NameOf(const v1::Model& model) { return model.name(); }
inline const std::string& NameOf(const AdapterRecord& adapter) { return adapter.digest(); }

// Thread-compatible. T has digest().
template <typename T>
class OwnedTable {
 public:
  // `what` is the word for messages: dataset, model, adapter.
  explicit OwnedTable(std::string what) : what_(std::move(what)) {}

  void Put(const std::string& tenant, const T& thing) {
    things_.insert_or_assign({tenant, NameOf(thing)}, thing);
  }
  void Erase(const std::string& tenant, const std::string& name) { things_.erase({tenant, name}); }

  // By its exact name; null: none.
  const T* FindName(absl::string_view tenant, absl::string_view name) const {
    const auto it = things_.find({std::string(tenant), std::string(name)});
    return it == things_.end() ? nullptr : &it->second;
  }
  // The first with this digest; null: none.
  const T* FindDigest(absl::string_view tenant, absl::string_view digest) const {
    const T* found = nullptr;
    ForEach(tenant, [&](const T& thing) {
      if (found == nullptr && thing.digest() == digest) found = &thing;
    });
    return found;
  }

  // By name, digest or a unique prefix of a digest, at least 8 characters. NotFound names the nearest.
  absl::StatusOr<T> Resolve(absl::string_view tenant, absl::string_view text) const {
    if (const T* thing = FindName(tenant, text)) return *thing;
    const T* found = nullptr;
    bool ambiguous = false;
    std::vector<std::string> names;
    ForEach(tenant, [&](const T& thing) {
      if (names.size() < kMaxNearest) names.push_back(NameOf(thing));
      if (text.size() < 8 || !absl::StartsWith(thing.digest(), text)) return;
      ambiguous = ambiguous || (found != nullptr && found->digest() != thing.digest());
      if (found == nullptr) found = &thing;
    });
    if (ambiguous) {
      return absl::InvalidArgumentError(
          absl::StrCat(what_, " \"", Excerpt(text), "\" is the start of several digests; write more of it"));
    }
    if (found != nullptr) return *found;
    return absl::NotFoundError(absl::StrCat(what_, " \"", Excerpt(text), "\" is not known",
                                            DidYouMean(text, names), "; `vernier ", what_,
                                            "s list` shows what there is"));
  }

  // `visit(const T&)` in order of name.
  template <typename Visit>
  void ForEach(absl::string_view tenant, Visit visit) const {
    for (auto it = things_.lower_bound({std::string(tenant), ""});
         it != things_.end() && it->first.first == tenant; ++it) {
      visit(it->second);
    }
  }
  // `visit(const std::string& tenant, const T&)`.
  template <typename Visit>
  void ForEachTenant(Visit visit) const {
    for (const auto& [key, thing] : things_) visit(key.first, thing);
  }

  int64_t size() const { return static_cast<int64_t>(things_.size()); }
  int64_t CountOf(absl::string_view tenant) const {
    int64_t count = 0;
    ForEach(tenant, [&](const T&) { ++count; });
    return count;
  }

 private:
  static constexpr size_t kMaxNearest = 1000;  // names that an unknown one is compared with

  std::string what_;
  std::map<std::pair<std::string, std::string>, T> things_;
};

}  // namespace vernier::server
