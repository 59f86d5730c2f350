// Metrics of the model's own answers beside the references. Of all rows: the mean over rows, so 0 is worst
// and 1 is best.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/stages/evaluate/metric.h"

namespace vernier::stages {

// 1 when the two texts are equal byte for byte.
double ExactMatchOfRow(const JudgedRow& row);
double ExactMatchOfAll(absl::Span<const JudgedRow> rows);

// ROUGE-L F1 of `prediction` against `reference`, [0, 1], equal to `rougeL` of the Python package rouge_score
// without its stemmer: both lower-cased, tokens are runs of [a-z0-9] (so text in other scripts has none),
// longest common subsequence of tokens; 2 P R / (P + R) with P and R its length over the number of tokens of
// prediction and reference; 0 without tokens. Sources: Lin, "ROUGE: A Package for Automatic Evaluation of
// Summaries" (ACL 2004), section 3; google-research/rouge.
double RougeL(absl::string_view reference, absl::string_view prediction);
double RougeLOfRow(const JudgedRow& row);
double RougeLOfAll(absl::Span<const JudgedRow> rows);

}  // namespace vernier::stages
