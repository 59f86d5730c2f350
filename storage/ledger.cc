#include "storage/ledger.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace vernier::storage {
namespace {

constexpr absl::string_view kFormat = "vernier.ledger.v1";

template <typename T>
struct DtypeOf;
template <>
struct DtypeOf<int64_t> {
  static constexpr Dtype value = Dtype::kI64;
};
template <>
struct DtypeOf<int32_t> {
  static constexpr Dtype value = Dtype::kI32;
};
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::kF32;
};

template <typename T>
TensorView View(std::string name, const std::vector<T>& values) {
  TensorView view;
  view.name = std::move(name);
  view.dtype = DtypeOf<T>::value;
  view.shape = {static_cast<int64_t>(values.size())};
  view.bytes = {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  return view;
}

// Reads vectors one after the other; remembers the first that is wrong.
class Reader {
 public:
  Reader(const SafetensorsFile& file, absl::string_view name) : file_(file), name_(name) {}

  template <typename T>
  void Read(absl::string_view tensor, std::vector<T>& values) {
    if (!status_.ok()) return;
    const absl::StatusOr<TensorView> view = file_.Find(tensor);
    if (!view.ok()) return Fail(view.status().message());
    if (view->dtype != DtypeOf<T>::value || view->shape.size() != 1) {
      return Fail(absl::StrCat("tensor \"", tensor, "\" is no vector of ", DtypeName(DtypeOf<T>::value)));
    }
    values.resize(view->shape[0]);
    if (!values.empty()) std::memcpy(values.data(), view->bytes.data(), view->bytes.size());
  }
  void Check(bool fits, absl::string_view what) {
    if (status_.ok() && !fits) Fail(what);
  }
  const absl::Status& status() const { return status_; }

 private:
  void Fail(absl::string_view what) { status_ = absl::DataLossError(absl::StrCat(name_, ": ", what)); }

  const SafetensorsFile& file_;
  const std::string name_;
  absl::Status status_;
};

std::shared_ptr<const LedgerRows> ReadRows(Reader& reader, const std::string& split) {
  auto rows = std::make_shared<LedgerRows>();
  reader.Read(split + "/line", rows->line);
  reader.Read(split + "/tokens", rows->tokens);
  reader.Read(split + "/trained_tokens", rows->trained_tokens);
  reader.Read(split + "/weight", rows->weight);
  const size_t size = rows->line.size();
  reader.Check(
      rows->tokens.size() == size && rows->trained_tokens.size() == size && rows->weight.size() == size,
      absl::StrCat(split, "/*: the tensors differ in length"));
  return rows;
}

void ReadValidation(Reader& reader, absl::string_view tensor, int64_t step, int64_t num_rows,
                    LedgerValidation& validation) {
  validation.step = step;
  reader.Read(tensor, validation.loss);
  const int64_t want = step < 0 ? 0 : num_rows;
  reader.Check(static_cast<int64_t>(validation.loss.size()) == want,
               absl::StrCat(tensor, ": has ", validation.loss.size(), " elements, not ", want));
}

// Rising steps, rising ends, the last of which is the number of visits; visits of rows that exist.
void CheckVisits(Reader& reader, const Ledger& ledger) {
  reader.Check(
      ledger.step.size() == ledger.step_end.size() && ledger.visit_row.size() == ledger.visit_loss.size(),
      "steps/* or visits/*: the tensors differ in length");
  if (!reader.status().ok()) return;
  int64_t step = 0, end = 0;
  for (size_t i = 0; i < ledger.step.size(); ++i) {
    reader.Check(ledger.step[i] > step && ledger.step_end[i] >= end,
                 absl::StrCat("steps/*: element ", i, " is out of order"));
    step = ledger.step[i];
    end = ledger.step_end[i];
  }
  reader.Check(end == ledger.num_visits(),
               absl::StrCat("steps/end: ends at ", end, " of ", ledger.num_visits(), " visits"));
  for (const int32_t row : ledger.visit_row) {
    if (row < 0 || row >= ledger.train->size()) {
      return reader.Check(false, absl::StrCat("visits/row: there is no row ", row));
    }
  }
}

}  // namespace

std::vector<TensorView> TensorsOf(const Ledger& ledger) {
  std::vector<TensorView> views;
  for (const auto& [split, rows] :
       {std::pair<std::string, const LedgerRows&>("train", *ledger.train),
        std::pair<std::string, const LedgerRows&>("validation", *ledger.validation)}) {
    views.push_back(View(split + "/line", rows.line));
    views.push_back(View(split + "/tokens", rows.tokens));
    views.push_back(View(split + "/trained_tokens", rows.trained_tokens));
    views.push_back(View(split + "/weight", rows.weight));
  }
  views.push_back(View("steps/step", ledger.step));
  views.push_back(View("steps/end", ledger.step_end));
  views.push_back(View("visits/row", ledger.visit_row));
  views.push_back(View("visits/loss", ledger.visit_loss));
  for (const auto& [name, validation] :
       {std::pair<std::string, const LedgerValidation&>("first", ledger.first),
        std::pair<std::string, const LedgerValidation&>("best", ledger.best),
        std::pair<std::string, const LedgerValidation&>("newest", ledger.newest)}) {
    TensorView step;
    step.name = absl::StrCat("validation/", name, "_step");
    step.dtype = Dtype::kI64;
    step.shape = {1};
    step.bytes = {reinterpret_cast<const char*>(&validation.step), sizeof(validation.step)};
    views.push_back(std::move(step));
    views.push_back(View(absl::StrCat("validation/", name, "_loss"), validation.loss));
  }
  return views;
}

std::map<std::string, std::string> LedgerMetadata() { return {{"format", std::string(kFormat)}}; }

absl::StatusOr<Ledger> ReadLedger(const SafetensorsFile& file, absl::string_view name) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    return absl::DataLossError(absl::StrCat(name, ": is no ", kFormat));
  }
  Reader reader(file, name);
  Ledger ledger;
  ledger.train = ReadRows(reader, "train");
  ledger.validation = ReadRows(reader, "validation");
  reader.Read("steps/step", ledger.step);
  reader.Read("steps/end", ledger.step_end);
  reader.Read("visits/row", ledger.visit_row);
  reader.Read("visits/loss", ledger.visit_loss);
  CheckVisits(reader, ledger);
  const std::pair<std::string, LedgerValidation*> validations[] = {
      {"first", &ledger.first}, {"best", &ledger.best}, {"newest", &ledger.newest}};
  for (const auto& [which, validation] : validations) {
    std::vector<int64_t> step;
    reader.Read(absl::StrCat("validation/", which, "_step"), step);
    reader.Check(step.size() == 1, absl::StrCat("validation/", which, "_step: is not one number"));
    if (!reader.status().ok()) break;
    ReadValidation(reader, absl::StrCat("validation/", which, "_loss"), step[0], ledger.validation->size(),
                   *validation);
  }
  VN_RETURN_IF_ERROR(reader.status());
  return ledger;
}

}  // namespace vernier::storage
