// The interpreter of one render. Only jinja_eval.cc and jinja_eval_expression.cc know it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_ast.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_callable.h"
#include "worker/data/text/jinja_eval.h"
#include "worker/data/text/jinja_loop.h"
#include "worker/data/text/jinja_scope.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// Thread-compatible; used once.
class Evaluator {
 public:
  Evaluator(const Template& program, const Variables& variables, const Limits& limits);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  absl::StatusOr<Output> Run();

 private:
  // How a statement ends.
  enum class Flow { kNormal, kBreak, kContinue };

  // Counts nested calls of the interpreter.
  class DepthGuard {
   public:
    explicit DepthGuard(Evaluator* evaluator) : evaluator_(evaluator) { ++evaluator_->depth_; }
    ~DepthGuard() { --evaluator_->depth_; }
    absl::Status status() const {
      if (evaluator_->depth_ <= kMaxEvalDepth) return absl::OkStatus();
      return absl::InvalidArgumentError(
          "the template recurses too deep; a macro may call itself without end");
    }

   private:
    Evaluator* const evaluator_;
  };

  // A scope that lives as long as the block, or as the render when a macro was defined in it.
  class ScopeHolder {
   public:
    ScopeHolder(Evaluator* evaluator, Scope* parent)
        : evaluator_(evaluator), scope_(std::make_unique<Scope>(parent)) {}
    ~ScopeHolder() {
      if (scope_->captured()) evaluator_->kept_.push_back(std::move(scope_));
    }
    Scope* get() const { return scope_.get(); }

   private:
    Evaluator* const evaluator_;
    std::unique_ptr<Scope> scope_;
  };

  // Takes from a loop what refers to the call that ran it.
  class LoopCloser {
   public:
    explicit LoopCloser(Loop* loop) : loop_(loop) {}
    ~LoopCloser() {
      loop_->source = nullptr;
      loop_->recursive = nullptr;
      loop_->before.reset();
      loop_->current.reset();
      loop_->after.reset();
      loop_->last_changed.reset();
    }

   private:
    Loop* const loop_;
  };

  absl::Status Emit(absl::string_view text);
  absl::Status EmitValue(const Value& value);
  absl::StatusOr<Flow> Execute(const Block& block, Scope* scope);
  absl::StatusOr<Flow> ExecuteOne(const Statement& statement, Scope* scope);
  absl::StatusOr<Flow> ExecuteCaptured(const Statement& statement, Scope* scope);
  absl::StatusOr<Flow> ExecuteFor(const ForStatement& statement, const Value& iterable, Scope* scope,
                                  int64_t depth0);
  absl::Status Assign(const Target& target, Value value, Scope* scope);
  static absl::Status SetAttribute(Namespace& names, absl::string_view name, Value value);

  absl::StatusOr<Value> Call(const Value& callee, const CallArguments& arguments);
  absl::StatusOr<Value> CallLoop(Loop& loop, const CallArguments& arguments);
  absl::StatusOr<Value> CallMacro(const Callable& callable, const CallArguments& arguments);
  absl::StatusOr<Value> CallFunction(absl::string_view name, const CallArguments& arguments);
  absl::StatusOr<Value> Range(const CallArguments& arguments);
  absl::StatusOr<std::vector<std::pair<Value, Value>>> EntriesOf(absl::string_view function,
                                                                 const CallArguments& arguments);

  absl::StatusOr<Value> Evaluate(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateKind(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateName(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateCompare(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateDict(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateConcat(const Expression& expression, Scope* scope);
  // `caller`, when not null, goes along as a named argument.
  absl::StatusOr<Value> EvaluateCall(const Expression& expression, Scope* scope, const Value* caller);
  absl::StatusOr<std::vector<Value>> EvaluateParts(const Expression& expression, Scope* scope);
  absl::StatusOr<CallArguments> EvaluateArguments(const Arguments& arguments, Scope* scope);

  const Template& program_;
  const Variables& variables_;
  Budget budget_;
  Output output_;
  std::string* out_ = nullptr;  // where statements write: the output, or a block being captured
  Value captured_;              // what a filter block filters
  int depth_ = 0;
  int error_line_ = 0;    // of the innermost statement or expression that failed
  bool refused_ = false;  // raise_exception was called
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Scope>> kept_;
  Scope root_;
};

}  // namespace vernier::data::jinja
