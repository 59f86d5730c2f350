// One JSON array of objects: [{...}, {...}], on one line or many. Each element is a record; its number is
// that of the element, from 1. The array is cut into elements without being held. Memory: one element plus
// one read (1 MiB).
#pragma once

#include <memory>

#include "worker/data/sources/source.h"

namespace vernier::data {

absl::StatusOr<std::unique_ptr<Source>> CreateJsonArraySource(SourceInput input);

}  // namespace vernier::data
