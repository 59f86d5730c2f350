#include "worker/stages/start.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <utility>

#include "common/log.h"

namespace vernier::stages {

trainer::NumericClass NumericClassOf(at::ScalarType dtype) {
  return trainer::CurrentNumericClass(dtype, at::get_num_threads());
}

trainer::PrecisionChoice ReportStart(const StageContext& context, v1::Precision precision) {
  trainer::PrecisionChoice choice = trainer::ChoosePrecision(precision);
  const std::string numeric_class = NumericClassOf(choice.dtype).ToString();
  v1::TaskEvent event;
  event.mutable_started()->set_pid(::getpid());
  event.mutable_started()->set_note(choice.note);
  event.mutable_started()->set_numeric_class(numeric_class);
  context.events.Report(std::move(event));
  VN_LOG(INFO) << "precision chosen note=\"" << choice.note << "\" numeric_class=\"" << numeric_class << "\"";
  return choice;
}

}  // namespace vernier::stages
