// Statements and calls; expressions are in jinja_eval_expression.cc.
#include "worker/data/text/jinja_eval.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_evaluator.h"
#include "worker/data/text/jinja_lexer.h"
#include "worker/data/text/jinja_methods.h"

namespace vernier::data::jinja {
namespace {

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

}  // namespace

Evaluator::Evaluator(const Template& program, const Variables& variables, const Limits& limits)
    : program_(program), variables_(variables), budget_(limits), root_(nullptr) {
  for (size_t i = 0; i < program.names.size(); ++i) {
    for (const auto& [name, value] : variables.values) {
      if (name == program.names[i]) root_.Set(static_cast<int>(i), value);
    }
  }
}

Evaluator::~Evaluator() {
  // A namespace may hold itself; without its attributes nothing keeps it alive.
  for (const auto& names : namespaces_) names->attributes.clear();
}

absl::StatusOr<Output> Evaluator::Run() {
  out_ = &output_.text;
  const absl::StatusOr<Flow> flow = Execute(program_.body, &root_);
  if (flow.ok()) return std::move(output_);
  if (refused_) return flow.status();
  return ErrorAt(error_line_, flow.status().message());
}

absl::Status Evaluator::Emit(absl::string_view text) {
  absl::StrAppend(out_, text);
  if (static_cast<int64_t>(out_->size()) > kMaxTextBytes)
    return budget_.SpendText(static_cast<int64_t>(out_->size()));
  return budget_.Spend(1 + static_cast<int64_t>(text.size()) / 64);
}

absl::StatusOr<Evaluator::Flow> Evaluator::Execute(const Block& block, Scope* scope) {
  const DepthGuard guard(this);
  VN_RETURN_IF_ERROR(guard.status());
  for (const auto& statement : block) {
    absl::StatusOr<Flow> flow = ExecuteOne(*statement, scope);
    if (!flow.ok()) {
      if (error_line_ == 0) error_line_ = statement->line;
      return flow;
    }
    if (*flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

absl::StatusOr<Evaluator::Flow> Evaluator::ExecuteOne(const Statement& statement, Scope* scope) {
  VN_RETURN_IF_ERROR(budget_.Spend(1));
  switch (statement.kind) {
    case Statement::Kind::kData:
      VN_RETURN_IF_ERROR(Emit(statement.text));
      return Flow::kNormal;
    case Statement::Kind::kOutput: {
      VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.expression, scope));
      VN_RETURN_IF_ERROR(EmitValue(value));
      return Flow::kNormal;
    }
    case Statement::Kind::kIf:
      for (const auto& [condition, body] : statement.branches) {
        VN_ASSIGN_OR_RETURN(const Value value, Evaluate(*condition, scope));
        if (value.Truth()) return Execute(body, scope);
      }
      return Execute(statement.otherwise, scope);
    case Statement::Kind::kFor: {
      VN_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.loop->iterable, scope));
      return ExecuteFor(*statement.loop, iterable, scope, 0);
    }
    case Statement::Kind::kSet: {
      VN_ASSIGN_OR_RETURN(Value value, Evaluate(*statement.expression, scope));
      VN_RETURN_IF_ERROR(Assign(statement.target, std::move(value), scope));
      return Flow::kNormal;
    }
    case Statement::Kind::kSetBlock:
    case Statement::Kind::kFilter:
      return ExecuteCaptured(statement, scope);
    case Statement::Kind::kMacro: {
      Callable macro;
      macro.definition = statement.macro.get();
      macro.scope = scope;
      scope->Capture();
      scope->Set(statement.symbol, Value::Of(std::make_shared<const Callable>(std::move(macro))));
      return Flow::kNormal;
    }
    case Statement::Kind::kCall: {
      Callable caller;
      caller.definition = statement.macro.get();
      caller.scope = scope;
      scope->Capture();
      const Value body = Value::Of(std::make_shared<const Callable>(std::move(caller)));
      VN_ASSIGN_OR_RETURN(const Value value, EvaluateCall(*statement.expression, scope, &body));
      VN_RETURN_IF_ERROR(EmitValue(value));
      return Flow::kNormal;
    }
    case Statement::Kind::kWith: {
      ScopeHolder inner(this, scope);
      for (const auto& [target, expression] : statement.assignments) {
        VN_ASSIGN_OR_RETURN(Value value, Evaluate(*expression, scope));
        VN_RETURN_IF_ERROR(Assign(target, std::move(value), inner.get()));
      }
      return Execute(statement.body, inner.get());
    }
    case Statement::Kind::kGeneration: {
      ScopeHolder inner(this, scope);
      const size_t begin = out_->size();
      VN_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.body, inner.get()));
      output_.generation.push_back({begin, out_->size()});
      return flow;
    }
    case Statement::Kind::kBreak:
      return Flow::kBreak;
    case Statement::Kind::kContinue:
      return Flow::kContinue;
  }
  return Bad("unknown statement");
}

absl::Status Evaluator::EmitValue(const Value& value) {
  if (value.is_string()) return Emit(value.text());
  VN_ASSIGN_OR_RETURN(const std::string text, Str(value, budget_));
  return Emit(text);
}

absl::StatusOr<Evaluator::Flow> Evaluator::ExecuteCaptured(const Statement& statement, Scope* scope) {
  ScopeHolder inner(this, scope);
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const absl::StatusOr<Flow> flow = Execute(statement.body, inner.get());
  out_ = outer;
  if (!flow.ok() || *flow != Flow::kNormal) return flow;
  Value value = Value::String(std::move(text));
  if (statement.expression != nullptr) {
    std::swap(captured_, value);
    absl::StatusOr<Value> filtered = Evaluate(*statement.expression, inner.get());
    std::swap(captured_, value);
    if (!filtered.ok()) return filtered.status();
    value = *std::move(filtered);
  }
  if (statement.kind == Statement::Kind::kFilter) {
    VN_RETURN_IF_ERROR(EmitValue(value));
  } else {
    VN_RETURN_IF_ERROR(Assign(statement.target, std::move(value), scope));
  }
  return Flow::kNormal;
}

absl::StatusOr<Evaluator::Flow> Evaluator::ExecuteFor(const ForStatement& statement, const Value& iterable,
                                                      Scope* scope, int64_t depth0) {
  VN_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(iterable, budget_));
  auto loop = std::make_shared<Loop>();
  loop->depth0 = depth0;
  if (statement.recursive) loop->recursive = &statement;
  loop->scope = scope;
  if (statement.condition == nullptr) loop->size = static_cast<int64_t>(items.size());
  // The loop may be kept by the template, but nothing of this call: it ends with an empty source.
  const LoopCloser closer(loop.get());
  size_t at = 0;
  loop->source = [&]() -> absl::StatusOr<std::optional<Value>> {
    while (at < items.size()) {
      Value item = items[at++];
      if (statement.condition == nullptr) return item;
      ScopeHolder inner(this, scope);
      VN_RETURN_IF_ERROR(Assign(statement.target, item, inner.get()));
      VN_ASSIGN_OR_RETURN(const Value holds, Evaluate(*statement.condition, inner.get()));
      if (holds.Truth()) return item;
    }
    return std::nullopt;
  };
  bool completed = false;  // an iteration came to its end, which is what Jinja's else asks
  while (true) {
    VN_ASSIGN_OR_RETURN(std::optional<Value> item, loop->Next());
    if (!item.has_value()) break;
    ScopeHolder inner(this, scope);
    inner.get()->Set(program_.known.loop, Value::Of(loop));
    VN_RETURN_IF_ERROR(Assign(statement.target, *std::move(item), inner.get()));
    VN_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.body, inner.get()));
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) completed = true;
  }
  if (completed || statement.otherwise.empty()) return Flow::kNormal;
  ScopeHolder inner(this, scope);
  return Execute(statement.otherwise, inner.get());
}

absl::Status Evaluator::Assign(const Target& target, Value value, Scope* scope) {
  if (!target.parts.empty()) {
    VN_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value, budget_));
    if (items.size() != target.parts.size()) {
      return Bad(absl::StrCat(items.size() < target.parts.size() ? "not enough" : "too many",
                              " values to unpack (expected ", target.parts.size(), ", got ", items.size(),
                              ")"));
    }
    for (size_t i = 0; i < items.size(); ++i) {
      VN_RETURN_IF_ERROR(Assign(target.parts[i], std::move(items[i]), scope));
    }
    return absl::OkStatus();
  }
  if (target.attribute.empty()) {
    scope->Set(target.symbol, std::move(value));
    return absl::OkStatus();
  }
  const Value* object = scope->Find(target.symbol);
  if (object == nullptr || object->kind() != Value::Kind::kNamespace) {
    return Bad(absl::StrCat("cannot assign attribute '", Excerpt(target.attribute, 40), "': '",
                            program_.names[static_cast<size_t>(target.symbol)], "' is no namespace"));
  }
  return SetAttribute(object->names(), target.attribute, std::move(value));
}

absl::Status Evaluator::SetAttribute(Namespace& names, absl::string_view name, Value value) {
  for (auto& [key, old] : names.attributes) {
    if (key == name) {
      old = std::move(value);
      return absl::OkStatus();
    }
  }
  if (names.attributes.size() == kMaxAttributes)
    return Bad(absl::StrCat("a namespace has more than ", kMaxAttributes, " attributes"));
  names.attributes.emplace_back(std::string(name), std::move(value));
  return absl::OkStatus();
}

absl::StatusOr<Value> Evaluator::Call(const Value& callee, const CallArguments& arguments) {
  VN_RETURN_IF_ERROR(budget_.Spend(1));
  if (callee.is_undefined()) return Bad(callee.undefined().message);
  if (callee.kind() == Value::Kind::kLoop) return CallLoop(callee.loop(), arguments);
  if (callee.kind() != Value::Kind::kCallable) {
    return Bad(absl::StrCat("'", callee.TypeName(), "' object is not callable"));
  }
  const Callable& callable = callee.callable();
  if (callable.definition != nullptr) return CallMacro(callable, arguments);
  if (callable.is_method) return CallMethod(callable.self, callable.name, arguments, budget_);
  return CallFunction(callable.name, arguments);
}

absl::StatusOr<Value> Evaluator::CallLoop(Loop& loop, const CallArguments& arguments) {
  if (loop.recursive == nullptr) {
    return Bad("The loop must have the 'recursive' marker to be called recursively.");
  }
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind("loop", arguments, {"iterable"}, 1));
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const absl::StatusOr<Flow> flow = ExecuteFor(*loop.recursive, bound.Get(0), loop.scope, loop.depth0 + 1);
  out_ = outer;
  if (!flow.ok()) return flow.status();
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Evaluator::CallMacro(const Callable& callable, const CallArguments& arguments) {
  const DepthGuard guard(this);
  VN_RETURN_IF_ERROR(guard.status());
  const MacroDefinition& macro = *callable.definition;
  const size_t count = macro.parameters.size();
  // Each name is looked for among the parameters.
  VN_RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(count * (1 + arguments.named.size() / 16))));
  ScopeHolder inner(this, callable.scope);
  std::vector<bool> given(count, false);
  std::vector<Value> more(arguments.positional.begin() +
                              static_cast<std::ptrdiff_t>(std::min(count, arguments.positional.size())),
                          arguments.positional.end());
  for (size_t i = 0; i < std::min(count, arguments.positional.size()); ++i) {
    inner.get()->Set(macro.symbols[i], arguments.positional[i]);
    given[i] = true;
  }
  std::vector<std::pair<Value, Value>> named;
  Value caller = Value::Undefined("No caller defined");
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find(macro.parameters.begin(), macro.parameters.end(), name);
    if (it != macro.parameters.end()) {
      const size_t i = static_cast<size_t>(it - macro.parameters.begin());
      if (given[i]) return Bad(absl::StrCat("macro '", macro.name, "' got the argument '", name, "' twice"));
      inner.get()->Set(macro.symbols[i], value);
      given[i] = true;
    } else if (name == "caller" && macro.uses_caller) {
      caller = value;
    } else if (macro.uses_kwargs) {
      named.emplace_back(Value::String(name), value);
    } else {
      return Bad(
          absl::StrCat("macro '", macro.name, "' takes no keyword argument '", Excerpt(name, 40), "'"));
    }
  }
  if (!more.empty() && !macro.uses_varargs) {
    return Bad(absl::StrCat("macro '", macro.name, "' takes not more than ", count, " argument(s)"));
  }
  const bool own_caller =
      std::find(macro.parameters.begin(), macro.parameters.end(), "caller") != macro.parameters.end();
  if (macro.uses_caller && !own_caller) inner.get()->Set(program_.known.caller, std::move(caller));
  if (macro.uses_kwargs) {
    VN_ASSIGN_OR_RETURN(Value kwargs, Value::Of(std::move(named)));
    inner.get()->Set(program_.known.kwargs, std::move(kwargs));
  }
  if (macro.uses_varargs) {
    VN_ASSIGN_OR_RETURN(Value varargs, Value::Of(Sequence::Kind::kTuple, std::move(more)));
    inner.get()->Set(program_.known.varargs, std::move(varargs));
  }
  const size_t required = count - macro.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    if (given[i]) continue;
    Value value = Value::Undefined(absl::StrCat("parameter '", macro.parameters[i], "' was not provided"));
    if (i >= required) {
      VN_ASSIGN_OR_RETURN(value, Evaluate(*macro.defaults[i - required], inner.get()));
    }
    inner.get()->Set(macro.symbols[i], std::move(value));
  }
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const absl::StatusOr<Flow> flow = Execute(macro.body, inner.get());
  out_ = outer;
  if (!flow.ok()) return flow.status();
  return Value::String(std::move(text));
}

// dict(mapping or pairs, **named), which is also what namespace() takes.
absl::StatusOr<std::vector<std::pair<Value, Value>>> Evaluator::EntriesOf(absl::string_view function,
                                                                          const CallArguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) {
    return Bad(absl::StrCat(function, " expected at most 1 argument, got ", arguments.positional.size()));
  }
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_mapping()) {
      entries = source.mapping().entries;
    } else {
      VN_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Iterate(source, budget_));
      for (const Value& pair : pairs) {
        VN_ASSIGN_OR_RETURN(const std::vector<Value> two, Iterate(pair, budget_));
        if (two.size() != 2) return Bad(absl::StrCat(function, ": an element is no pair"));
        entries.emplace_back(two[0], two[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) entries.emplace_back(Value::String(name), value);
  VN_RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(entries.size())));
  return entries;
}

absl::StatusOr<Value> Evaluator::CallFunction(absl::string_view name, const CallArguments& arguments) {
  if (name == "namespace") {
    VN_ASSIGN_OR_RETURN(auto entries, EntriesOf("namespace", arguments));
    auto names = std::make_shared<Namespace>();
    for (auto& [key, value] : entries) {
      if (!key.is_string()) return Bad("the attributes of a namespace have names that are strings");
      if (key.text().empty() || key.text().front() == '_') {
        return Bad(absl::StrCat("the attribute '", Excerpt(key.text(), 40),
                                "' of a namespace starts with an underscore"));
      }
      VN_RETURN_IF_ERROR(SetAttribute(*names, key.text(), std::move(value)));
    }
    namespaces_.push_back(names);
    return Value::Of(std::move(names));
  }
  if (name == "dict") {
    VN_ASSIGN_OR_RETURN(auto entries, EntriesOf("dict", arguments));
    return Value::Of(std::move(entries));
  }
  if (name == "range") return Range(arguments);
  if (name == "raise_exception") {
    VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {"message"}, 1));
    VN_ASSIGN_OR_RETURN(const std::string message, Str(bound.Get(0), budget_));
    refused_ = true;
    return Bad(absl::StrCat("the chat template refuses the conversation: ", Excerpt(message, 400)));
  }
  VN_ASSIGN_OR_RETURN(const BoundArguments bound, BoundArguments::Bind(name, arguments, {"format"}, 1));
  VN_ASSIGN_OR_RETURN(const std::string format, bound.TextOr(0, ""));
  VN_ASSIGN_OR_RETURN(std::string text, variables_.strftime_now(format));
  VN_RETURN_IF_ERROR(budget_.SpendText(static_cast<int64_t>(text.size())));
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Evaluator::Range(const CallArguments& arguments) {
  if (!arguments.named.empty() || arguments.positional.empty() || arguments.positional.size() > 3) {
    return Bad("range() takes 1 to 3 arguments");
  }
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    const Value& bound = arguments.positional[i];
    if (bound.is_undefined()) return Bad(bound.undefined().message);
    if (!bound.is_integral()) {
      return Bad(absl::StrCat("'", bound.TypeName(), "' object cannot be interpreted as an integer"));
    }
    bounds[arguments.positional.size() == 1 ? 1 : i] = bound.integral();
  }
  const auto [start, stop, step] = bounds;
  if (step == 0) return Bad("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      return Bad(absl::StrCat("Range too big. The sandbox blocks ranges larger than ", kMaxRange, "."));
    }
    items.push_back(Value::Int(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  VN_RETURN_IF_ERROR(budget_.Spend(static_cast<int64_t>(items.size())));
  return Value::Of(Sequence::Kind::kRange, std::move(items));
}

absl::StatusOr<Output> Run(const Template& program, const Variables& variables, const Limits& limits) {
  return Evaluator(program, variables, limits).Run();
}

}  // namespace vernier::data::jinja
