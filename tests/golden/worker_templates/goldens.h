// What make_template_goldens.py stored, and the templates it was made from.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/text/chat_template.h"

namespace vernier::data {

class TemplateGoldens {
 public:
  // The file beside this one; $VERNIER_TEMPLATE_GOLDENS when set (one that holds the texts).
  static const TemplateGoldens& Get();

  const Json& json() const { return json_; }
  std::vector<std::string> TemplateNames() const;
  // Messages of a conversation; its tools, or null.
  Json Messages(const std::string& conversation) const;
  Json Tools(const std::string& conversation) const;
  // NotFound: the folder of trl's templates is not there (tools/setup fetches it); the message says where it
  // was sought.
  absl::StatusOr<std::string> TemplateText(const std::string& name) const;
  // The template, with the goldens' special tokens and time.
  absl::StatusOr<std::unique_ptr<const ChatTemplate>> Compile(const std::string& name) const;

 private:
  TemplateGoldens();
  Json json_;
};

}  // namespace vernier::data
