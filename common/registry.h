// Registries are explicit tables (name -> entry) written in one registry.cc per folder: one line to grep.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier {

// The entry of `table` whose `name` member equals `name`.
// InvalidArgument: none does; the message names `kind`, the asked name and what there is.
template <typename Entry>
absl::StatusOr<const Entry*> FindEntry(absl::Span<const Entry> table, absl::string_view kind,
                                       absl::string_view name) {
  std::vector<absl::string_view> names;
  for (const Entry& entry : table) {
    if (entry.name == name) return &entry;
    names.push_back(entry.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(kind, " \"", name, "\" is not known; known: ", absl::StrJoin(names, ", ")));
}

}  // namespace vernier
