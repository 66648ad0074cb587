#include "app/config_yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

#include "app/utf8.hpp"

namespace raincell::app {

namespace {

constexpr std::size_t kDeepest = 16;

/// Builds the tree from the parser's events, so that nothing is resolved behind our back.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::vector<YamlProblem>& problems) : problems_(problems) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "", anchor);
    YamlNode node;
    node.line = mark.line + 1;
    add(std::move(node));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    problem(mark, "aliases (*name) are not allowed; write the value out");
    add({});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    YamlNode node;
    node.kind = YamlNode::Kind::scalar;
    node.text = value;
    node.quoted = tag == "!";
    node.line = mark.line + 1;
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

  YamlNode root;

 private:
  struct Open {
    YamlNode node;
    bool has_key = false;
    std::string key;
  };

  void problem(const YAML::Mark& mark, const std::string& reason) {
    problems_.push_back({mark.line + 1, path(), reason});
  }
  std::string path() const {
    std::string text;
    for (const Open& level : open_) {
      if (level.has_key) text += (text.empty() ? "" : ".") + level.key;
    }
    return text;
  }
  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) problem(mark, "anchors (&name) are not allowed; write the value out");
    if (!tag.empty() && tag != "?" && tag != "!")
      problem(mark, fmt::format("the tag '{}' is not allowed", tag));
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    check(mark, tag, anchor);
    Open level;
    level.node.kind = kind;
    level.node.line = mark.line + 1;
    if (open_.size() == kDeepest) problem(mark, fmt::format("nested more than {} levels deep", kDeepest));
    open_.push_back(std::move(level));
  }
  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }
  void add(YamlNode node) {
    if (open_.empty()) {
      root = std::move(node);
      return;
    }
    Open& level = open_.back();
    if (level.node.kind == YamlNode::Kind::list) {
      level.node.items.push_back(std::move(node));
    } else if (!level.has_key) {
      take_key(level, node);
    } else {
      level.node.entries.push_back({level.key, std::move(node)});
      level.has_key = false;
    }
  }
  void take_key(Open& level, const YamlNode& node) {
    level.key = node.text;
    const auto same = std::find_if(level.node.entries.begin(), level.node.entries.end(),
                                   [&](const auto& entry) { return entry.key == node.text; });
    level.has_key = true;
    if (node.kind != YamlNode::Kind::scalar) {
      problems_.push_back({node.line, path(), "a key must be a plain word"});
    } else if (same != level.node.entries.end()) {
      problems_.push_back(
          {node.line, path(), fmt::format("the key is there twice, first in line {}", same->value.line)});
    }
  }

  std::vector<YamlProblem>& problems_;
  std::vector<Open> open_;
};

}  // namespace

YamlNode parse_yaml(const std::string& text, std::vector<YamlProblem>& problems) {
  if (text.size() > kLargestYaml) {
    problems.push_back({0, "", fmt::format("{} bytes; a configuration has at most 1 MiB", text.size())});
    return {};
  }
  if (text.find('\0') != std::string::npos) {
    problems.push_back({0, "", "contains a zero byte; this is no YAML text"});
    return {};
  }
  if (const std::size_t end = end_of_utf8(text); end < text.size()) {
    const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '\n');
    problems.push_back({static_cast<int>(lines) + 1, "",
                        fmt::format("holds the byte 0x{:02x}, which is no UTF-8; save the file as UTF-8",
                                    static_cast<unsigned char>(text[end]))});
    return {};
  }
  Builder builder(problems);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    Builder second(problems);
    std::vector<YamlProblem> ignored;
    if (parser.HandleNextDocument(second)) problems.push_back({0, "", "holds more than one document (---)"});
  } catch (const YAML::Exception& error) {
    problems.push_back({error.mark.line + 1, "", "not YAML: " + error.msg});
  }
  return std::move(builder.root);
}

}  // namespace raincell::app
