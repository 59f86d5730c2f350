// Runs a parsed template. It reaches nothing but its variables, and its steps, its output and its depth are
// bounded.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/text/jinja_ast.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

struct Variables {
  std::vector<std::pair<std::string, Value>> values;
  std::function<absl::StatusOr<std::string>(const std::string& format)> strftime_now;
};

// Bytes [begin, end) of the output that a generation block wrote.
struct GenerationSpan {
  size_t begin = 0, end = 0;
};

struct Output {
  std::string text;
  std::vector<GenerationSpan> generation;  // in the order in which they end
};

// InvalidArgument: "line 3: ..." as Jinja would fail, what raise_exception was called with, or a limit.
// Thread-safe. Limits of sizes are those of jinja_value.h.
absl::StatusOr<Output> Run(const Template& program, const Variables& variables, const Limits& limits = {});

}  // namespace vernier::data::jinja
