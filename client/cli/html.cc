#include "client/cli/html.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

constexpr absl::string_view kReplacement = "\uFFFD";

void AppendByte(char byte, std::string& html) {
  switch (byte) {
    case '&':
      html += "&amp;";
      return;
    case '<':
      html += "&lt;";
      return;
    case '>':
      html += "&gt;";
      return;
    case '"':
      html += "&quot;";
      return;
    case '\'':
      html += "&#39;";
      return;
    default:
      break;
  }
  const auto value = static_cast<unsigned char>(byte);
  if ((value < 0x20 && byte != '\n' && byte != '\t') || value == 0x7F) {
    absl::StrAppend(&html, kReplacement);
  } else {
    html += byte;
  }
}

}  // namespace

std::string HtmlText(absl::string_view text) {
  std::string html;
  html.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t valid = std::min(FirstInvalidUtf8(text), text.size());
    for (const char byte : text.substr(0, valid)) AppendByte(byte, html);
    text.remove_prefix(valid);
    if (text.empty()) break;
    absl::StrAppend(&html, kReplacement);
    text.remove_prefix(1);
  }
  return html;
}

std::string HtmlExcerpt(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return HtmlText(text);
  // Not inside a character.
  while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xC0) == 0x80) --max_bytes;
  return absl::StrCat(HtmlText(text.substr(0, max_bytes)), " <span class=\"cut\">\u2026 cut, ",
                      HumanBytes(static_cast<int64_t>(text.size())), " in all</span>");
}

std::string HtmlTable(absl::string_view caption, const std::vector<std::string>& header,
                      const std::vector<std::vector<std::string>>& rows, const std::vector<int>& numeric) {
  if (rows.empty()) return "";
  const auto kind = [&](size_t column) {
    return absl::c_linear_search(numeric, static_cast<int>(column)) ? " class=\"n\"" : "";
  };
  std::string html =
      absl::StrCat("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"", HtmlText(caption),
                   "\"><table><caption>", HtmlText(caption), "</caption><thead><tr>");
  for (size_t i = 0; i < header.size(); ++i) {
    absl::StrAppend(&html, "<th scope=\"col\"", kind(i), ">", header[i], "</th>");
  }
  html += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) absl::StrAppend(&html, "<td", kind(i), ">", row[i], "</td>");
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string HtmlFacts(const std::vector<std::pair<std::string, std::string>>& facts) {
  if (facts.empty()) return "";
  std::string html = "<dl class=\"facts\">\n";
  for (const auto& [name, value] : facts) {
    absl::StrAppend(&html, "<div><dt>", name, "</dt><dd>", value, "</dd></div>\n");
  }
  return html + "</dl>\n";
}

}  // namespace vernier::cli
