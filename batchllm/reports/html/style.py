"""How the page looks: calm, light and dark, on a phone and on paper. One string, so that the page's policy can name its hash."""
# ruff: noqa: E501 - CSS is read by rules, not by lines

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--bg:#f7f7f4;--card:#fff;--ink:#1f2629;--soft:#647077;--line:#e4e6e2;--accent:#2d6f8e;--wash:#2d6f8e22;
--good:#3f8660;--warn:#b8791c;--bad:#b1493d;--calm:#8a979d;--badge:#eef1ef}
@media (prefers-color-scheme:dark){:root{--bg:#15191b;--card:#1c2124;--ink:#e4e8e9;--soft:#95a1a7;--line:#2e3539;--accent:#6cb2d3;
--wash:#6cb2d326;--good:#74bd94;--warn:#d9a54d;--bad:#e08476;--calm:#7d8a90;--badge:#262d30}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans",sans-serif;
-webkit-text-size-adjust:100%;overflow-wrap:break-word}
.body p,.example p,.group bdi{overflow-wrap:anywhere;min-width:0}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}
h1,h2,h3,p,dl,dd,figure,pre{margin:0}
h1{font-size:28px;line-height:1.2;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:17px;font-weight:620;margin:44px 0 14px}
h3{font-size:13px;font-weight:600;color:var(--soft);margin:0 0 10px}
.soft,.note{color:var(--soft)}
.note{font-size:13px;margin-top:10px}
.lead{color:var(--soft);margin-top:6px;overflow-wrap:anywhere}
.state{display:inline-block;border-radius:99px;padding:3px 12px;font-size:13px;font-weight:600;background:var(--badge);margin-bottom:12px}
.state::before{content:"";display:inline-block;width:8px;height:8px;border-radius:50%;background:var(--calm);margin-right:8px}
.state.good::before{background:var(--good)}.state.warn::before{background:var(--warn)}.state.bad::before{background:var(--bad)}
.banner{border:1px solid var(--line);border-left:3px solid var(--warn);background:var(--card);border-radius:8px;padding:9px 14px;margin-top:18px;font-size:14px;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:26px}
.card,.panel{background:var(--card);border:1px solid var(--line);border-radius:12px}
.card{padding:14px 16px}
.panel{padding:18px 20px;min-width:0}
.card .what{font-size:13px;color:var(--soft)}
.card .value{font-size:24px;font-weight:620;letter-spacing:-.01em;font-variant-numeric:tabular-nums;line-height:1.35}
.card .more{font-size:12.5px;color:var(--soft)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:14px}
.one{display:grid;grid-template-columns:minmax(0,1fr);gap:14px}
.two+.troubles{margin-top:14px}.often{margin-bottom:14px}
.whole{display:block;width:100%;height:10px;margin:26px 0 8px;border-radius:5px;overflow:hidden}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft)}
.legend span::before{content:"";display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:7px;background:var(--calm)}
.legend .good::before{background:var(--good)}.legend .bad::before{background:var(--bad)}.legend .warn::before{background:var(--warn)}
.legend .accent::before{background:var(--accent)}.legend .none::before{display:none}
.chart{display:grid;grid-template-columns:max-content minmax(0,1fr);column-gap:10px;row-gap:6px}
.chart svg{display:block;width:100%;height:132px;overflow:visible}
.chart.low svg{height:96px}
.ticks{display:flex;justify-content:space-between;font-size:11.5px;color:var(--soft);font-variant-numeric:tabular-nums;line-height:1;white-space:nowrap}
.ticks.up{flex-direction:column;text-align:right;margin:-5px 0}
.ticks.along{grid-column:2}
.f-accent{fill:var(--accent)}.f-wash{fill:var(--wash)}.f-good{fill:var(--good)}.f-warn{fill:var(--warn)}.f-bad{fill:var(--bad)}
.f-calm{fill:var(--calm)}.f-line{fill:var(--line)}.f-pale{fill:var(--warn);opacity:.4}.hover{fill:transparent}.hover:hover{fill:var(--wash)}
.s-accent{stroke:var(--accent)}.s-calm{stroke:var(--calm)}.s-line{stroke:var(--line)}.s-ink{stroke:var(--ink)}.s-warn{stroke:var(--warn)}
.stroke{stroke-width:1.6;vector-effect:non-scaling-stroke;fill:none;stroke-linejoin:round}
.hair{stroke-width:1;vector-effect:non-scaling-stroke}.dash{stroke-dasharray:3 3}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--soft);text-align:left;font-size:13px}
th,td{padding:6px 14px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>td,tr:last-child>th{border-bottom:0}
td.n,th.n{text-align:right;white-space:nowrap}
td:last-child,th:last-child{padding-right:0}
td.bar{width:34%;padding-top:13px}td.bar svg{display:block;width:100%;height:8px}
td.w{overflow-wrap:anywhere}
code,pre,.mono{font:12.5px/1.55 ui-monospace,"SF Mono","Cascadia Code","DejaVu Sans Mono",Consolas,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--bg);border-radius:8px;padding:10px 12px;max-height:420px;overflow:auto;unicode-bidi:isolate}
bdi,.peek{unicode-bidi:isolate}
.scroll{overflow-x:auto}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:6px 20px;font-size:14px}
.facts dt{color:var(--soft)}.facts dd{overflow-wrap:anywhere}
details>summary{cursor:pointer;list-style:none}
details>summary::-webkit-details-marker{display:none}
summary:focus-visible,input:focus-visible,select:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
.more-of>summary{color:var(--accent);font-size:13.5px;padding-top:10px}
.more-of>:not(summary){margin-top:10px}
.group{border-bottom:1px solid var(--line);padding:9px 0}.group:last-child{border-bottom:0}
.group>summary{display:grid;grid-template-columns:4.5em 10.5em minmax(0,1fr);gap:12px}
.group .n,.row .n{text-align:right;font-variant-numeric:tabular-nums}
.group .example{margin:10px 0 4px;padding-left:12px;border-left:2px solid var(--line)}
.tag{color:var(--bad);font-weight:560}
.tools{display:flex;flex-wrap:wrap;gap:8px;margin-bottom:12px;align-items:center}
.tools[hidden]{display:none}
.tools input,.tools select{font:inherit;font-size:14px;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:6px 10px}
.tools input{flex:1 1 220px;min-width:0}
.rows{background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden}
.row{border-bottom:1px solid var(--line);content-visibility:auto;contain-intrinsic-size:auto 37px}.row:last-child{border-bottom:0}
.row[hidden]{display:none}
.row>summary,.head{display:grid;grid-template-columns:4.5em minmax(7em,13em) minmax(0,1fr) 5em 5em 6em;gap:14px;padding:7px 16px;font-size:13.5px}
.row>summary:hover{background:var(--wash)}
.head span{font-size:12.5px}.head{color:var(--soft);border-bottom:1px solid var(--line)}.head .n{text-align:right}
.row .id,.row .peek{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.row .peek{color:var(--soft)}.row .tag{font-size:12.5px}
.row .body{padding:4px 16px 16px;display:grid;grid-template-columns:minmax(0,1fr);gap:10px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:14px}
.pair>div{min-width:0}
footer{margin-top:48px;font-size:13px;color:var(--soft)}
.worse{color:var(--bad)}.better{color:var(--good)}
@media (max-width:640px){main{padding:22px 14px 48px}h1{font-size:23px}h2{margin-top:34px}.panel{padding:14px}.cards{gap:8px;grid-template-columns:1fr 1fr}
.card{padding:11px 13px}.card .value{font-size:20px}.head{display:none}
.row>summary{grid-template-columns:3.2em minmax(0,1fr) auto;gap:2px 10px;padding:8px 13px}.row .peek{grid-column:2/-1}
.row>summary>:nth-child(4){grid-row:1;grid-column:3}.row>summary>:nth-child(n+5){display:none}.row .body{padding:4px 13px 14px}
.group>summary{grid-template-columns:3.2em minmax(0,1fr)}.group>summary>:nth-child(3){grid-column:2}
td.bar{display:none}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:8px}}
@media print{:root{--bg:#fff;--card:#fff;--ink:#000;--soft:#555;--line:#ccc;--accent:#2d6f8e;--wash:#2d6f8e22;--good:#3f8660;--warn:#b8791c;--bad:#b1493d;--calm:#888;--badge:#eee}
body{font-size:11pt}main{max-width:none;padding:0}.tools,.more-of{display:none}.card,.panel,.row,.group{break-inside:avoid}h2{break-after:avoid}
.row:nth-of-type(n+41){display:none}.row{content-visibility:visible}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.paper{display:none}@media print{.paper{display:block}}
"""
