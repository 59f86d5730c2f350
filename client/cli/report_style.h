// The style sheet of `vernier report`. The page's policy allows exactly these bytes (by their digest).
#pragma once

namespace vernier::cli {

inline constexpr char kReportStyle[] = R"css(
:root { color-scheme: light dark;
  --bg: #f6f7f9; --card: #ffffff; --ink: #1c2430; --soft: #5a6675; --line: #dfe4ea; --accent: #2563c9;
  --good: #18794e; --bad: #c2302b; --warn: #9a5b00; --code: #f1f3f6; --hover: rgba(37, 99, 201, .10);
  --c1: #2f6fde; --c2: #d9480f; --c3: #1c8a54; --c4: #8a3fb0; --c5: #0b7d91; --c6: #b3204d; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #12161c; --card: #1a2029; --ink: #e6eaf0; --soft: #9aa7b7; --line: #2c3541; --accent: #7db0ff;
  --good: #57c98d; --bad: #ff8a80; --warn: #f0b35a; --code: #222a35; --hover: rgba(125, 176, 255, .14);
  --c1: #6ea3ff; --c2: #ff9459; --c3: #57c98d; --c4: #c992e8; --c5: #4cc3d6; --c6: #f27ba0; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 3.5rem; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 12px; }
h3 { font-size: 1rem; margin: 18px 0 8px; }
a { color: var(--accent); }
.lead { color: var(--soft); margin: 0 0 4px; }
.state { display: inline-block; border-radius: 999px; padding: 2px 12px; font-size: .8rem; font-weight: 600;
  border: 1px solid currentColor; vertical-align: middle; margin-left: 10px; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .soft { color: var(--soft); }
nav { position: sticky; top: 0; z-index: 1; background: var(--bg); border-bottom: 1px solid var(--line); margin-top: 16px; }
nav ul { max-width: 1080px; margin: 0 auto; padding: 8px 20px; display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; }
nav a { text-decoration: none; font-size: .9rem; }
nav a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px; margin: 20px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(185px, 1fr)); gap: 12px; margin: 18px 0 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; line-height: 1.3; white-space: nowrap; }
.tile span { color: var(--soft); font-size: .82rem; }
.error { border-left: 4px solid var(--bad); padding: 8px 14px; background: var(--code); white-space: pre-wrap; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 18px; }
figure { margin: 14px 0 0; }
.plots figure { margin: 0; }
figure.first { grid-column: 1 / -1; overflow-x: auto; }
figure.first svg { min-width: 620px; }
figcaption { font-weight: 600; font-size: .92rem; margin-bottom: 4px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .label { fill: var(--ink); }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.faint { stroke-width: 1; opacity: .35; }
.hover { fill: transparent; } .hover:hover { fill: var(--hover); }
.line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); } .line.c3 { stroke: var(--c3); }
.line.c4 { stroke: var(--c4); } .line.c5 { stroke: var(--c5); } .line.c6 { stroke: var(--c6); }
.dot.c1, .f1 { fill: var(--c1); } .dot.c2, .f2 { fill: var(--c2); } .dot.c3, .f3 { fill: var(--c3); }
.dot.c4, .f4 { fill: var(--c4); } .dot.c5, .f5 { fill: var(--c5); } .dot.c6, .f6 { fill: var(--c6); }
.legend { margin: 4px 0 0; font-size: .85rem; color: var(--soft); }
.key { border-left: 14px solid; padding-left: 6px; margin-right: 16px; }
.b1 { border-color: var(--c1); } .b2 { border-color: var(--c2); } .b3 { border-color: var(--c3); }
.b4 { border-color: var(--c4); } .b5 { border-color: var(--c5); } .b6 { border-color: var(--c6); }
.wide { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); unicode-bidi: isolate; }
th { color: var(--soft); font-weight: 600; font-size: .82rem; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); gap: 8px 24px; margin: 0; }
.facts div { border-bottom: 1px solid var(--line); padding-bottom: 6px; }
dt { color: var(--soft); font-size: .82rem; } dd { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
pre, code { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace; }
pre { background: var(--code); border-radius: 8px; padding: 12px 14px; margin: 8px 0; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
code { background: var(--code); border-radius: 4px; padding: 1px 5px; overflow-wrap: anywhere; }
.sample { border-top: 1px solid var(--line); padding: 10px 0; }
h4 { font-size: .92rem; margin: 0 0 4px; }
h3 + .sample { border-top: 0; padding-top: 0; }
.sample dl { display: grid; grid-template-columns: 6.5rem 1fr; gap: 4px 12px; margin: 6px 0; }
.sample dt { padding-top: 1px; } .sample dd { white-space: pre-wrap; }
mark { background: rgba(24, 121, 78, .18); color: inherit; border-radius: 3px; }
summary { cursor: pointer; color: var(--accent); }
.cut { color: var(--soft); font-style: italic; }
footer { color: var(--soft); font-size: .85rem; padding-top: 8px; padding-bottom: 32px; }
@media print { nav { display: none; } section { break-inside: avoid; border-color: #bbb; } body { background: #fff; } }
)css";

}  // namespace vernier::cli
