#include "worker/data/tools.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/messages.h"

namespace vernier::data {
namespace {

constexpr absl::string_view kSchemaTypes[] = {"object",  "array",   "string", "number",
                                              "integer", "boolean", "null"};

const Json* Find(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

absl::Status CheckType(const Json& type, absl::string_view where) {
  const auto known = [](const Json& name) {
    return name.is_string() && std::find(std::begin(kSchemaTypes), std::end(kSchemaTypes),
                                         name.get_ref<const std::string&>()) != std::end(kSchemaTypes);
  };
  const bool good =
      type.is_array() ? !type.empty() && std::all_of(type.begin(), type.end(), known) : known(type);
  if (good) return absl::OkStatus();
  const std::string given = type.is_string()
                                ? absl::StrCat("\"", Excerpt(type.get_ref<const std::string&>(), 40), "\"")
                                : std::string(KindOfJson(type));
  return absl::InvalidArgumentError(absl::StrCat(
      where, ".type is ", given, ", no type of JSON Schema; known: ", absl::StrJoin(kSchemaTypes, ", ")));
}

// The parts of JSON Schema that say what an argument is. Depth is bounded by kMaxJsonDepth. Fields that are
// null do not count: tables cannot leave them out.
absl::Status CheckSchema(const Json& schema, const std::string& where) {
  if (schema.is_boolean() || schema.is_null()) return absl::OkStatus();
  if (!schema.is_object())
    return absl::InvalidArgumentError(
        absl::StrCat(where, " is ", KindOfJson(schema), "; a JSON Schema is an object"));
  if (const Json* type = Find(schema, "type"); type != nullptr && !type->is_null())
    VN_RETURN_IF_ERROR(CheckType(*type, where));
  for (const char* const key : {"properties", "$defs", "definitions", "patternProperties"}) {
    const Json* const members = Find(schema, key);
    if (members == nullptr || members->is_null()) continue;
    if (!members->is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".", key, " is ", KindOfJson(*members), "; it is an object of JSON Schemas"));
    }
    for (const auto& [name, member] : members->items()) {
      VN_RETURN_IF_ERROR(CheckSchema(member, absl::StrCat(where, ".", key, ".", Excerpt(name, 40))));
    }
  }
  for (const char* const key : {"items", "additionalProperties", "not"}) {
    const Json* const member = Find(schema, key);
    // Older drafts allow an array of items.
    if (member != nullptr && !member->is_array())
      VN_RETURN_IF_ERROR(CheckSchema(*member, absl::StrCat(where, ".", key)));
  }
  for (const char* const key : {"anyOf", "oneOf", "allOf", "enum", "required"}) {
    const Json* const list = Find(schema, key);
    if (list == nullptr || list->is_null()) continue;
    // Draft 3 said "required": true of one property.
    if (list->is_boolean() && absl::string_view(key) == "required") continue;
    if (!list->is_array())
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".", key, " is ", KindOfJson(*list), "; it is an array"));
    if (absl::string_view(key) == "enum") continue;
    for (size_t i = 0; i < list->size(); ++i) {
      const std::string at = absl::StrCat(where, ".", key, "[", i, "]");
      if (absl::string_view(key) != "required") {
        VN_RETURN_IF_ERROR(CheckSchema((*list)[i], at));
      } else if (!(*list)[i].is_string()) {
        return absl::InvalidArgumentError(
            absl::StrCat(at, " is ", KindOfJson((*list)[i]), "; it is the name of a property"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckName(const Json& object, absl::string_view where) {
  const Json* const name = Find(object, "name");
  if (name != nullptr && name->is_string() && !name->get_ref<const std::string&>().empty())
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, name == nullptr || name->is_null()
                                                            ? " has no name"
                                                            : ".name is no text of one character or more"));
}

absl::Status CheckTool(const Json& tool, const std::string& where) {
  if (!tool.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, " is ", KindOfJson(tool), R"(; a tool is an object {"type": "function", "function": {...}})"));
  }
  const Json* function = Find(tool, "function");
  std::string at = where;
  if (function != nullptr && !function->is_null()) {
    at += ".function";
    if (!function->is_object())
      return absl::InvalidArgumentError(
          absl::StrCat(at, " is ", KindOfJson(*function), "; it must be an object"));
  } else {
    function = &tool;
  }
  VN_RETURN_IF_ERROR(CheckName(*function, at));
  const Json* const parameters = Find(*function, "parameters");
  if (parameters == nullptr || parameters->is_null()) return absl::OkStatus();
  at += ".parameters";
  if (!parameters->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(at, " is ", KindOfJson(*parameters),
                     R"(; it is a JSON Schema: {"type": "object", "properties": {...}})"));
  }
  const Json* const type = Find(*parameters, "type");
  if (type != nullptr && type->is_string() && *type != "object") {
    return absl::InvalidArgumentError(absl::StrCat(
        at, ".type is \"", Excerpt(type->get_ref<const std::string&>(), 40), "\"; arguments are an object"));
  }
  return CheckSchema(*parameters, at);
}

void DropNulls(Json& object) {
  for (auto it = object.begin(); it != object.end();) {
    it = it->is_null() ? object.erase(it) : std::next(it);
  }
}

absl::Status NormaliseArguments(Json& function, const std::string& where, std::vector<std::string>* remarks) {
  const auto it = function.find("arguments");
  if (it == function.end()) return absl::OkStatus();
  if (it->is_string() && absl::StripAsciiWhitespace(it->get_ref<const std::string&>()).empty()) {
    *it = Json::object();
    return absl::OkStatus();
  }
  bool was_text = false;
  VN_ASSIGN_OR_RETURN(*it, DecodeJsonText(std::move(*it), absl::StrCat(where, ".arguments"), &was_text));
  if (!it->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ".arguments is ", was_text ? "the text of " : "",
                                                   KindOfJson(*it),
                                                   "; arguments are an object, e.g. {\"city\": \"Paris\"}"));
  }
  if (was_text) AddRemark("arguments of tool calls are JSON text; read as objects", remarks);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTools(const Json& tools) {
  for (size_t i = 0; i < tools.size(); ++i)
    VN_RETURN_IF_ERROR(CheckTool(tools[i], absl::StrCat("tools[", i, "]")));
  return absl::OkStatus();
}

absl::Status NormaliseToolCalls(Json& calls, absl::string_view where, std::vector<std::string>* remarks) {
  for (size_t i = 0; i < calls.size(); ++i) {
    std::string at = absl::StrCat(where, ".tool_calls[", i, "]");
    Json& call = calls[i];
    if (!call.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(at, " is ", KindOfJson(call),
                       R"(; a call is {"type": "function", "function": {"name", "arguments"}})"));
    }
    DropNulls(call);
    Json* function = &call;
    if (const auto it = call.find("function"); it != call.end()) {
      at += ".function";
      if (!it->is_object())
        return absl::InvalidArgumentError(
            absl::StrCat(at, " is ", KindOfJson(*it), "; it must be an object"));
      DropNulls(*it);
      function = &*it;
    }
    VN_RETURN_IF_ERROR(CheckName(*function, at));
    VN_RETURN_IF_ERROR(NormaliseArguments(*function, at, remarks));
  }
  return absl::OkStatus();
}

}  // namespace vernier::data
