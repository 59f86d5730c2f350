// The statements; expressions are in jinja_expression_parser.cc.
#include "worker/data/text/jinja_parser.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/jinja_expression_parser.h"
#include "worker/data/text/jinja_lexer.h"

namespace vernier::data::jinja {
namespace {

using Kind = Statement::Kind;
using Ends = std::initializer_list<absl::string_view>;

constexpr std::array<absl::string_view, 12> kStatements = {
    "if", "for", "set", "macro", "call", "filter", "with", "generation", "break", "continue", "raw", "print"};
constexpr std::array<absl::string_view, 10> kForeign = {
    "include", "import", "from", "extends", "block", "do", "trans", "autoescape", "debug", "pluralize"};

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : expressions_(std::move(tokens), &template_) {}

  absl::StatusOr<Template> Run() {
    template_.known.loop = expressions_.Symbol("loop");
    template_.known.caller = expressions_.Symbol("caller");
    template_.known.varargs = expressions_.Symbol("varargs");
    template_.known.kwargs = expressions_.Symbol("kwargs");
    VN_ASSIGN_OR_RETURN(template_.body, ParseBlock({}));
    return std::move(template_);
  }

 private:
  const Token& Current() const { return expressions_.Current(); }
  bool IsName(absl::string_view name) const { return expressions_.IsName(name); }
  absl::Status Fail(absl::string_view reason) const { return ErrorAt(Current().line, reason); }

  // Statements up to a tag of `ends`, whose name stays the current token; all of the template when there is
  // none.
  absl::StatusOr<Block> ParseBlock(Ends ends) {
    VN_RETURN_IF_ERROR(expressions_.Enter());
    Block block;
    while (true) {
      const Token& token = Current();
      if (token.kind == Token::Kind::kEnd) {
        if (ends.size() == 0) break;
        return Fail(absl::StrCat("the template ends inside a block; expected ", absl::StrJoin(ends, " or ")));
      }
      if (token.kind == Token::Kind::kData) {
        auto data = Make(Kind::kData);
        data->text = token.text;
        expressions_.Advance();
        block.push_back(std::move(data));
      } else if (token.kind == Token::Kind::kVariableBegin) {
        expressions_.Advance();
        auto output = Make(Kind::kOutput);
        VN_ASSIGN_OR_RETURN(output->expression, expressions_.ParseTuple(true, {}));
        VN_RETURN_IF_ERROR(expressions_.Expect(Token::Kind::kVariableEnd, "}}"));
        block.push_back(std::move(output));
      } else {
        expressions_.Advance();  // {%
        if (std::any_of(ends.begin(), ends.end(), [&](absl::string_view end) { return IsName(end); })) break;
        VN_ASSIGN_OR_RETURN(auto statement, ParseStatement());
        VN_RETURN_IF_ERROR(ExpectBlockEnd());
        block.push_back(std::move(statement));
      }
    }
    expressions_.Leave();
    return block;
  }

  std::unique_ptr<Statement> Make(Kind kind) const {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = Current().line;
    return statement;
  }

  absl::Status ExpectBlockEnd() { return expressions_.Expect(Token::Kind::kBlockEnd, "%}"); }

  // The rest of an opening tag, the body, and the name of the tag that ends it.
  absl::StatusOr<Block> ParseBody(Ends ends) {
    expressions_.SkipOperator(":");
    VN_RETURN_IF_ERROR(ExpectBlockEnd());
    return ParseBlock(ends);
  }
  // The same where only one tag can end the body; the name is skipped.
  absl::StatusOr<Block> ParseWholeBody(absl::string_view end) {
    VN_ASSIGN_OR_RETURN(Block body, ParseBody({end}));
    expressions_.Advance();
    return body;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseStatement() {
    const Token& token = Current();
    if (token.kind != Token::Kind::kName) return Fail("a tag starts with a name");
    if (token.text == "if") return ParseIf();
    if (token.text == "for") return ParseFor();
    if (token.text == "set") return ParseSet();
    if (token.text == "macro") return ParseMacro();
    if (token.text == "call") return ParseCall();
    if (token.text == "filter") return ParseFilterBlock();
    if (token.text == "with") return ParseWith();
    if (token.text == "generation") return ParseGeneration();
    if (token.text == "break" || token.text == "continue") return ParseJump();
    if (std::find(kForeign.begin(), kForeign.end(), token.text) != kForeign.end()) {
      return Fail(absl::StrCat("the tag '", token.text, "' is not supported in chat templates"));
    }
    if (token.text == "print") return Fail("the tag 'print' is not supported; use {{ ... }}");
    const std::vector<std::string> names(kStatements.begin(), kStatements.end());
    return Fail(absl::StrCat("unknown tag '", Excerpt(token.text, 40), "'", DidYouMean(token.text, names)));
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseIf() {
    auto statement = Make(Kind::kIf);
    while (true) {
      expressions_.Advance();  // if, elif
      VN_ASSIGN_OR_RETURN(ExpressionPtr condition, expressions_.ParseTuple(false, {}));
      VN_ASSIGN_OR_RETURN(Block body, ParseBody({"elif", "else", "endif"}));
      statement->branches.emplace_back(std::move(condition), std::move(body));
      if (IsName("elif")) continue;
      const bool has_else = IsName("else");
      expressions_.Advance();
      if (has_else) {
        VN_ASSIGN_OR_RETURN(statement->otherwise, ParseWholeBody("endif"));
      }
      return statement;
    }
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseFor() {
    auto statement = Make(Kind::kFor);
    auto loop = std::make_unique<ForStatement>();
    expressions_.Advance();
    VN_ASSIGN_OR_RETURN(loop->target, expressions_.ParseTarget(false, "in"));
    if (!expressions_.SkipName("in")) return Fail("expected 'in'");
    VN_ASSIGN_OR_RETURN(loop->iterable, expressions_.ParseTuple(false, "recursive"));
    if (expressions_.SkipName("if")) {
      VN_ASSIGN_OR_RETURN(loop->condition, expressions_.ParseExpression());
    }
    loop->recursive = expressions_.SkipName("recursive");
    ++loops_;
    captures_ += loop->recursive ? 1 : 0;  // loop(...) gives its output as a value
    VN_ASSIGN_OR_RETURN(loop->body, ParseBody({"endfor", "else"}));
    captures_ -= loop->recursive ? 1 : 0;
    --loops_;
    const bool has_else = IsName("else");
    expressions_.Advance();
    if (has_else) {
      VN_ASSIGN_OR_RETURN(loop->otherwise, ParseWholeBody("endfor"));
    }
    statement->loop = std::move(loop);
    return statement;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseSet() {
    auto statement = Make(Kind::kSet);
    expressions_.Advance();
    VN_ASSIGN_OR_RETURN(statement->target, expressions_.ParseTarget(true, {}));
    if (expressions_.SkipOperator("=")) {
      VN_ASSIGN_OR_RETURN(statement->expression, expressions_.ParseTuple(true, {}));
      return statement;
    }
    statement->kind = Kind::kSetBlock;
    if (expressions_.IsOperator("|")) {
      VN_ASSIGN_OR_RETURN(statement->expression, expressions_.ParseFilterChain());
    }
    ++captures_;
    VN_ASSIGN_OR_RETURN(statement->body, ParseWholeBody("endset"));
    --captures_;
    return statement;
  }

  // The body of a macro or a call block: what it uses of `caller`, `varargs` and `kwargs` is noted.
  absl::StatusOr<Block> ParseMacroBody(MacroDefinition* macro, absl::string_view end) {
    const int loops = std::exchange(loops_, 0);
    ++captures_;
    expressions_.OpenMacro(macro);
    VN_ASSIGN_OR_RETURN(Block body, ParseWholeBody(end));
    expressions_.CloseMacro();
    --captures_;
    loops_ = loops;
    return body;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseMacro() {
    auto statement = Make(Kind::kMacro);
    auto macro = std::make_unique<MacroDefinition>();
    expressions_.Advance();
    VN_ASSIGN_OR_RETURN(macro->name, expressions_.ExpectName());
    statement->symbol = expressions_.Symbol(macro->name);
    VN_RETURN_IF_ERROR(expressions_.ParseParameters(macro.get()));
    VN_ASSIGN_OR_RETURN(macro->body, ParseMacroBody(macro.get(), "endmacro"));
    statement->macro = std::move(macro);
    return statement;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseCall() {
    auto statement = Make(Kind::kCall);
    auto macro = std::make_unique<MacroDefinition>();
    macro->name = "caller";
    expressions_.Advance();
    if (expressions_.IsOperator("(")) VN_RETURN_IF_ERROR(expressions_.ParseParameters(macro.get()));
    VN_ASSIGN_OR_RETURN(statement->expression, expressions_.ParseExpression());
    if (statement->expression->kind != Expression::Kind::kCall) return Fail("a call block needs a call");
    VN_ASSIGN_OR_RETURN(macro->body, ParseMacroBody(macro.get(), "endcall"));
    statement->macro = std::move(macro);
    return statement;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseFilterBlock() {
    auto statement = Make(Kind::kFilter);
    expressions_.Advance();
    VN_ASSIGN_OR_RETURN(statement->expression, expressions_.ParseFilterChain());
    ++captures_;
    VN_ASSIGN_OR_RETURN(statement->body, ParseWholeBody("endfilter"));
    --captures_;
    return statement;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseWith() {
    auto statement = Make(Kind::kWith);
    expressions_.Advance();
    while (Current().kind != Token::Kind::kBlockEnd) {
      if (!statement->assignments.empty() && !expressions_.SkipOperator(",")) return Fail("expected ','");
      VN_ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget(false, {}));
      if (!expressions_.SkipOperator("=")) return Fail("expected '='");
      VN_ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseExpression());
      statement->assignments.emplace_back(std::move(target), std::move(value));
    }
    VN_ASSIGN_OR_RETURN(statement->body, ParseWholeBody("endwith"));
    return statement;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseGeneration() {
    auto statement = Make(Kind::kGeneration);
    if (captures_ > 0) {
      return Fail(
          "a generation block inside a macro, a recursive loop, a call, a set or a filter block is not "
          "supported: "
          "its place in the output is not known");
    }
    expressions_.Advance();
    template_.has_generation = true;
    // Its body is a function of its own to Jinja: no break or continue crosses it.
    const int loops = std::exchange(loops_, 0);
    VN_ASSIGN_OR_RETURN(statement->body, ParseWholeBody("endgeneration"));
    loops_ = loops;
    return statement;
  }

  absl::StatusOr<std::unique_ptr<Statement>> ParseJump() {
    const bool is_break = IsName("break");
    if (loops_ == 0) return Fail(absl::StrCat("'", is_break ? "break" : "continue", "' outside of a loop"));
    auto statement = Make(is_break ? Kind::kBreak : Kind::kContinue);
    expressions_.Advance();
    return statement;
  }

  Template template_;
  ExpressionParser expressions_;
  int loops_ = 0;     // for blocks around the current place
  int captures_ = 0;  // blocks around it whose output does not go straight into the text
};

}  // namespace

absl::StatusOr<Template> ParseTemplate(absl::string_view text) {
  VN_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(text));
  return Parser(std::move(tokens)).Run();
}

}  // namespace vernier::data::jinja
