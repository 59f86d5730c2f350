#include "proto/yaml_tree.h"

#include <algorithm>
#include <exception>
#include <sstream>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace vernier {
namespace {

// Text bytes that a node counts for besides its scalar, so that empty nodes are bounded too.
constexpr int64_t kNodeBytes = 2;

absl::Status ErrorAt(int line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("(line ", line, "): ", what));
}

// Leaves yaml-cpp's parser, which knows no other way to stop; caught in Parse.
struct Stop {
  absl::Status status;
};

bool IsNull(absl::string_view scalar) {
  return scalar.empty() || scalar == "~" || scalar == "null" || scalar == "Null" || scalar == "NULL";
}

}  // namespace

class YamlTree::Builder final : public YAML::EventHandler {
 public:
  explicit Builder(YamlTree& tree) : tree_(tree) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    // A text that ends with "---" or "..." begins no second document.
    if (tree_.root_ != nullptr) Fail(mark, "a second document starts here; write one job a file");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Leaf(New(mark, anchor)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) Fail(mark, "this alias names no anchor");
    YamlNode* node = found->second;
    if (std::find(open_.begin(), open_.end(), node) != open_.end()) {
      Fail(mark, "this alias stands inside its own anchor; write the value out");
    }
    Attach(mark, *node);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    YamlNode& node = New(mark, anchor);
    node.quoted = tag != "?" && !tag.empty();
    if (node.quoted || !IsNull(value)) {
      node.kind = YamlNode::Kind::kScalar;
      node.scalar = value;
    }
    Leaf(node);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  [[noreturn]] static void Fail(const YAML::Mark& mark, absl::string_view what) {
    throw Stop{ErrorAt(mark.line + 1, what)};
  }

  static void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    // "?": none written on a plain value, "!": none on a quoted one; "!!str" says what quotes say.
    if (tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str") return;
    Fail(mark, absl::StrCat("tag \"", Excerpt(tag), "\" is not used here; remove it"));
  }

  YamlNode& New(const YAML::Mark& mark, YAML::anchor_t anchor) {
    YamlNode& node = tree_.nodes_.emplace_back();
    node.line = mark.line + 1;
    if (anchor != 0) anchors_[anchor] = &node;
    return node;
  }

  void Leaf(YamlNode& node) {
    node.expanded_bytes = kNodeBytes + static_cast<int64_t>(node.scalar.size());
    Attach(YAML::Mark::null_mark(), node);
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    CheckTag(mark, tag);
    if (open_.size() >= kMaxDepth) Fail(mark, absl::StrCat("nested deeper than ", kMaxDepth, " levels"));
    YamlNode& node = New(mark, anchor);
    node.kind = kind;
    node.expanded_bytes = kNodeBytes;
    open_.push_back(&node);
  }

  void Close() {
    const YamlNode& node = *open_.back();
    open_.pop_back();
    Attach(YAML::Mark::null_mark(), node);
  }

  // Puts a finished node where it belongs.
  void Attach(const YAML::Mark& mark, const YamlNode& node) {
    if (open_.empty()) {
      tree_.root_ = &node;
      return;
    }
    YamlNode& parent = *open_.back();
    parent.items.push_back(&node);
    parent.expanded_bytes += node.expanded_bytes;
    if (parent.expanded_bytes > kMaxYamlBytes) {
      throw Stop{ErrorAt(mark.line >= 0 ? mark.line + 1 : node.line,
                         absl::StrCat("the text grows past ", HumanBytes(kMaxYamlBytes),
                                      " once aliases are written out; use fewer aliases"))};
    }
  }

  YamlTree& tree_;
  std::vector<YamlNode*> open_;
  absl::flat_hash_map<YAML::anchor_t, YamlNode*> anchors_;
};

absl::StatusOr<YamlTree> YamlTree::Parse(absl::string_view text) {
  if (static_cast<int64_t>(text.size()) > kMaxYamlBytes) {
    return absl::InvalidArgumentError(absl::StrCat("has ", HumanBytes(text.size()),
                                                   ", more than the limit of ", HumanBytes(kMaxYamlBytes)));
  }
  if (const size_t bad = FirstInvalidUtf8(text); bad != absl::string_view::npos) {
    return ErrorAt(1 + static_cast<int>(std::count(text.begin(), text.begin() + bad, '\n')),
                   "is not valid UTF-8; save the file as UTF-8");
  }
  YamlTree tree;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(tree);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    return stop.status;
  } catch (const YAML::Exception& error) {
    return ErrorAt(error.mark.line + 1, absl::StrCat("is not YAML: ", error.msg));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("is not YAML: ", error.what()));
  }
  if (tree.root_ == nullptr) tree.root_ = &tree.nodes_.emplace_back();
  return tree;
}

}  // namespace vernier
