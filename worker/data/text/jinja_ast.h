// A parsed template. Immutable after parsing.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

// Of a call, a filter or a test.
struct Arguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr rest;        // *rest
  ExpressionPtr rest_named;  // **rest_named
};

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOperator { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct Expression {
  enum class Kind {
    kConstant,   // value
    kName,       // symbol
    kCaptured,   // the text of the block that a filter is applied to
    kTuple,      // parts
    kList,       // parts
    kDict,       // parts: key, value, key, value ...
    kNot,        // parts[0]
    kNegative,   // parts[0]
    kPositive,   // parts[0]
    kAnd,        // parts[0], parts[1]
    kOr,         // parts[0], parts[1]
    kBinary,     // parts[0] operation parts[1]
    kConcat,     // parts, as text
    kCompare,    // parts[0] comparisons[0] parts[1] comparisons[1] ...
    kCondition,  // parts[0] if parts[1] else parts[2]; parts[2] may be null
    kAttribute,  // parts[0].name
    kItem,       // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]]; the last three may be null
    kCall,       // parts[0](arguments)
    kFilter,     // parts[0] | name(arguments)
    kTest,       // parts[0] is name(arguments)
  };
  Kind kind = Kind::kConstant;
  int line = 0;
  int depth = 1;  // of the tree
  Value value;
  int symbol = -1;
  std::string name;
  BinaryOperator operation = BinaryOperator::kAdd;
  std::vector<CompareOperator> comparisons;
  std::vector<ExpressionPtr> parts;
  Arguments arguments;
};

// What a value is assigned to: a variable, an attribute of a namespace, or a tuple of targets.
struct Target {
  int symbol = -1;
  std::string attribute;
  std::vector<Target> parts;  // not empty: a tuple
};

struct Statement;
using Block = std::vector<std::unique_ptr<const Statement>>;

struct ForStatement {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  // or null
  bool recursive = false;
  Block body, otherwise;
};

// A macro, or the body of a call block.
struct MacroDefinition {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<int> symbols;             // of the parameters
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
  Block body;
};

struct Statement {
  enum class Kind {
    kData,        // text
    kOutput,      // expression
    kIf,          // branches, otherwise
    kFor,         // loop
    kSet,         // target = expression
    kSetBlock,    // target = body, through expression when there is one
    kMacro,       // macro, into symbol
    kCall,        // expression (a call) with macro as `caller`
    kFilter,      // body through expression
    kWith,        // assignments, body
    kGeneration,  // body
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kData;
  int line = 0;
  std::string text;
  int symbol = -1;
  Target target;
  ExpressionPtr expression;
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Block body, otherwise;
  std::unique_ptr<const ForStatement> loop;
  std::unique_ptr<const MacroDefinition> macro;
};

// Names that the engine itself looks up.
struct KnownSymbols {
  int loop = -1, caller = -1, varargs = -1, kwargs = -1;
};

struct Template {
  Block body;
  std::vector<std::string> names;  // of the symbols
  KnownSymbols known;
  bool has_generation = false;
  bool uses_time = false;  // calls strftime_now
};

}  // namespace vernier::data::jinja
