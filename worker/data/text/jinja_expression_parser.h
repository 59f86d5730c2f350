// The expressions of the template language, over one stream of tokens that the statements share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_ast.h"
#include "worker/data/text/jinja_lexer.h"

namespace vernier::data::jinja {

class ExpressionParser {
 public:
  // `owner` gets the symbols; it must outlive this.
  ExpressionParser(std::vector<Token> tokens, Template* owner) : tokens_(std::move(tokens)), owner_(owner) {}

  // --- the stream ---
  const Token& Current() const { return tokens_[at_]; }
  void Advance();
  bool IsName(absl::string_view name) const;
  bool IsOperator(absl::string_view text) const;
  bool SkipName(absl::string_view name);
  bool SkipOperator(absl::string_view text);
  absl::Status Expect(Token::Kind kind, absl::string_view what);
  absl::StatusOr<std::string> ExpectName();

  // The number of a variable's name.
  int Symbol(absl::string_view name);
  // Bound the nesting: Enter fails when it is too deep.
  absl::Status Enter();
  void Leave() { --depth_; }
  // Uses of `caller`, `varargs` and `kwargs` between these are noted in the macros that are open.
  void OpenMacro(MacroDefinition* macro) { macros_.push_back(macro); }
  void CloseMacro() { macros_.pop_back(); }

  // --- grammar ---
  // `a if b else c` and everything below.
  absl::StatusOr<ExpressionPtr> ParseExpression();
  // An expression, or a tuple of them without parentheses. `conditions` = false: no `a if b`. Ends before the
  // name `end`.
  absl::StatusOr<ExpressionPtr> ParseTuple(bool conditions, absl::string_view end);
  absl::StatusOr<Target> ParseTarget(bool attributes, absl::string_view end);
  // `| a | b(1)`, or `a | b(1)` at the start of a filter block; applied to the captured text.
  absl::StatusOr<ExpressionPtr> ParseFilterChain();
  // `(a, b=1)` of a macro.
  absl::Status ParseParameters(MacroDefinition* macro);

 private:
  using Parsed = absl::StatusOr<ExpressionPtr>;

  template <typename... Parts>
  static std::vector<ExpressionPtr> List(Parts... parts) {
    std::vector<ExpressionPtr> list;
    (list.push_back(std::move(parts)), ...);
    return list;
  }

  absl::Status Fail(absl::string_view reason) const { return ErrorAt(Current().line, reason); }
  std::string Describe() const;
  Parsed Make(Expression::Kind kind, int line, std::vector<ExpressionPtr> parts);
  Parsed Finish(std::unique_ptr<Expression> expression);
  Parsed Tuple(bool conditions, absl::string_view end, bool parentheses);

  Parsed ParseOr();
  Parsed ParseAnd();
  Parsed ParseNot();
  Parsed ParseCompare();
  Parsed ParseSum();
  Parsed ParseConcat();
  Parsed ParseProduct();
  Parsed ParsePower();
  Parsed ParseUnary(bool with_filters);
  Parsed ParsePrimary();
  Parsed ParseList();
  Parsed ParseDict();
  Parsed ParsePostfix(ExpressionPtr expression);
  Parsed ParseFilters(ExpressionPtr expression);
  Parsed ParseSubscript(ExpressionPtr object);
  Parsed ParseCall(ExpressionPtr callee);
  Parsed ParseFilter(ExpressionPtr value);
  Parsed ParseTest(ExpressionPtr value);
  absl::Status ParseArguments(Arguments* arguments);
  absl::StatusOr<Target> ParseOneTarget(bool attributes);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Template* owner_;
  absl::flat_hash_map<std::string, int> symbols_;
  std::vector<MacroDefinition*> macros_;
  int depth_ = 0;
};

}  // namespace vernier::data::jinja
