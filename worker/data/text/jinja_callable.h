// What a template can call: its macros, the functions of the environment, methods of values.
#pragma once

#include <string>

#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

struct MacroDefinition;
class Scope;

struct Callable {
  // A macro (also `caller`): what to run and the variables around its definition. Null for the others.
  const MacroDefinition* definition = nullptr;
  Scope* scope = nullptr;
  // Of a function or a method.
  std::string name;
  bool is_method = false;
  Value self;  // a method's object
};

}  // namespace vernier::data::jinja
