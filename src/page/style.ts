/** The style sheet of the page. It is sent inside the page, and the policy allows it by its digest. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1b2026;--dim:#58626d;--line:#dfe3e8;--soft:#eef1f4;--link:#0b57b0;
--ok:#136637;--cell:#3f9d68;--warning:#8a5300;--part:#c27803;--critical:#b3261e;--idle:#58626d;--run:#0b57b0;--cut:#fff;
--ok-bg:#e6f4ec;--warning-bg:#fdf1dc;--critical-bg:#fdebea;--idle-bg:#eef1f4}
@media (prefers-color-scheme:dark){:root{--bg:#0f1216;--card:#171b21;--text:#e3e7ec;--dim:#98a3af;--line:#2b323a;--soft:#20262d;--link:#7db7ff;
--ok:#57c98a;--cell:#3f9d68;--warning:#e9b449;--part:#dd9d2f;--critical:#ff8a80;--idle:#98a3af;--run:#7db7ff;--cut:#171b21;
--ok-bg:#14291f;--warning-bg:#2e2411;--critical-bg:#341a19;--idle-bg:#20262d}}
*{box-sizing:border-box}
html{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--text)}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
p a{text-decoration:underline;text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999rem;top:.5rem;background:var(--card);padding:.5rem 1rem;border:1px solid var(--line);border-radius:6px;z-index:1}
.skip:focus{left:.5rem}
.defs{position:absolute}
header,main,footer{max-width:78rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}footer{padding-bottom:2.5rem;color:var(--dim);font-size:.87rem}
h1{font-size:1.45rem;line-height:1.25;margin:0;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0 0 .7rem;font-weight:650}
h3{font-size:.95rem;margin:0;font-weight:650;overflow-wrap:anywhere}
p{margin:0;overflow-wrap:anywhere}code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--soft);padding:.08em .3em;border-radius:4px;overflow-wrap:anywhere}
.dim{color:var(--dim)}.num{font-variant-numeric:tabular-nums;white-space:nowrap}
.top{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;align-items:baseline;justify-content:space-between}
.crumb{font-size:.9rem;margin-bottom:.35rem}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.1rem 1.25rem;margin:1rem 0}
.icon{width:.95em;height:.95em;flex:none;vertical-align:-.12em}
.cut{fill:none;stroke:var(--cut);stroke-width:1.9;stroke-linecap:round;stroke-linejoin:round}
.badge{display:inline-flex;align-items:center;gap:.38em;font-size:.84rem;font-weight:600;white-space:nowrap;padding:.1em .6em .1em .45em;border-radius:99px}
.badge.ok{color:var(--ok);background:var(--ok-bg)}.badge.warning{color:var(--warning);background:var(--warning-bg)}
.badge.critical{color:var(--critical);background:var(--critical-bg)}.badge.idle{color:var(--idle);background:var(--idle-bg)}
.verdict{display:flex;align-items:center;gap:.6rem;font-size:1.05rem;margin:.35rem 0 0}
.verdict .icon{width:1.25em;height:1.25em}
.ok>.icon,.icon.ok{color:var(--ok)}.verdict.ok .icon{color:var(--ok)}.verdict.warning .icon{color:var(--warning)}.verdict.critical .icon{color:var(--critical)}.verdict.idle .icon{color:var(--idle)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.2rem,1fr));gap:.7rem;margin:1.1rem 0 0;padding:0;list-style:none}
.tile{display:block;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.65rem .9rem;color:inherit;height:100%}
a.tile:hover{border-color:var(--dim);text-decoration:none}
.tile b{display:block;font-size:1.35rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{font-size:.84rem;color:var(--dim)}
.tile.critical b{color:var(--critical)}.tile.warning b{color:var(--warning)}.tile.ok b{color:var(--ok)}
.findings{list-style:none;margin:0;padding:0}
.findings>li{display:grid;grid-template-columns:8.2rem 1fr;gap:.15rem 1rem;padding:.8rem 0;border-top:1px solid var(--line)}
.findings>li:first-child{border-top:0;padding-top:.1rem}.findings>li:last-child{padding-bottom:.1rem}
.findings .body{min-width:0}.findings .head{display:flex;flex-wrap:wrap;gap:.1rem .7rem;align-items:baseline}
.findings p{overflow-wrap:anywhere}.todo{margin-top:.15rem}.todo b{font-weight:600}
form.filter{display:flex;flex-wrap:wrap;gap:.6rem;align-items:end;margin:0 0 .8rem}
form.filter label{display:block;font-size:.82rem;color:var(--dim)}
form.filter>div{min-width:0;max-width:100%}form.filter .grow{flex:1 1 14rem}form.filter select{max-width:18rem}
input,select,button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--dim);border-radius:7px;padding:.32rem .6rem;width:100%;min-height:2.3rem}
button{background:var(--text);color:var(--card);border-color:var(--text);font-weight:600;cursor:pointer;width:auto;padding:.32rem 1rem}
.shown{margin-left:auto;font-size:.87rem;color:var(--dim);padding-bottom:.45rem}
table{width:100%;border-collapse:collapse;font-size:.93rem}
th{text-align:left;font-size:.8rem;font-weight:600;color:var(--dim);padding:.3rem .7rem .45rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
td{padding:.5rem .7rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
time,.num,.badge{white-space:nowrap}.body,.head,dd,li{overflow-wrap:anywhere}
tr:last-child>td{border-bottom:0}th:last-child,td:last-child{padding-right:0}
td.when{white-space:nowrap}td .sub{display:block;color:var(--dim);font-size:.86rem;overflow-wrap:anywhere}
td.name{min-width:9rem;overflow-wrap:anywhere}td.name a{font-weight:600}
td.right,th.right{text-align:right}
.scroll{overflow-x:auto}.calendar .scroll{direction:rtl}.calendar svg{direction:ltr}
.mini{width:15rem;height:1.15rem;display:block;margin-top:.16rem}
svg .c-ok{fill:var(--cell)}svg .c-part{fill:var(--part)}svg .c-bad{fill:none;stroke:var(--critical);stroke-width:2.4;stroke-linecap:round}
svg .c-run{fill:none;stroke:var(--run);stroke-width:2}svg .c-skip{fill:var(--dim)}svg .c-found{fill:none;stroke:var(--cell);stroke-width:1.2}
svg .none{fill:none;stroke:var(--dim);stroke-width:1;opacity:.55}
svg text{font-size:11px;fill:var(--dim);font-family:inherit}
.axis path{stroke:var(--line);fill:none}
.sizes .line{fill:none;stroke:var(--run);stroke-width:1.8;stroke-linejoin:round}.sizes .area{fill:var(--run);opacity:.12}.sizes circle{fill:var(--run)}
figure svg{max-width:none}figure{margin:0}figcaption{color:var(--dim);font-size:.87rem;margin-top:.3rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:.7rem 0 0;font-size:.84rem;color:var(--dim)}
.legend svg{vertical-align:-.12em}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(15.5rem,1fr));gap:.75rem 1.5rem;margin:0}
.facts div{min-width:0}.facts dt{font-size:.82rem;color:var(--dim)}.facts dd{margin:0;overflow-wrap:anywhere}
.pages{display:flex;gap:1rem;align-items:center;margin-top:.9rem;font-size:.93rem}
.empty{color:var(--dim)}.gap{display:inline-block;font-size:.84rem;background:var(--soft);border-radius:5px;padding:.05em .5em;margin:0 .35em .2em 0;white-space:nowrap}
.gaps{display:grid;grid-template-columns:max-content 1fr;gap:.45rem 1rem;margin:.9rem 0 0;font-size:.9rem}.gaps dt{min-width:0}.gaps dd{margin:0}
.after{margin-top:.6rem;font-size:.87rem}
details{margin-top:.8rem}summary{cursor:pointer;color:var(--link)}
[hidden]{display:none!important}
@media (max-width:60rem){.wide{display:none}}
@media (max-width:44rem){
header,main,footer{padding-left:.9rem;padding-right:.9rem}section{padding:.9rem}
.findings>li{grid-template-columns:1fr}
.tiles{grid-template-columns:repeat(2,1fr)}
table.cards,.cards tbody{display:block}.cards thead{position:absolute;left:-999rem}
.cards tr{display:grid;grid-template-columns:1fr auto;gap:.2rem .8rem;padding:.75rem 0;border-bottom:1px solid var(--line)}
.cards tr:last-child{border-bottom:0}
.cards td{display:block;border:0;padding:0;min-width:0}
.cards td.wide{display:block}.cards td:empty,.cards td.none{display:none}
.cards td[data-label]{grid-column:1/-1;display:grid;grid-template-columns:6.5rem 1fr}
.cards td[data-label]::before{content:attr(data-label);color:var(--dim);font-size:.86rem}
.cards td[data-label]>*{grid-column:2}
.cards td.state{grid-column:2;grid-row:1}.cards td.name{grid-column:1;grid-row:1}.cards td.strip{grid-column:1/-1}
.cards .mini{width:100%;height:1.4rem}td.right{text-align:left}
.facts,.gaps{grid-template-columns:1fr}.gaps dd{margin-bottom:.5rem}}
@media print{:root{--bg:#fff;--card:#fff;--text:#000;--dim:#444;--line:#bbb;--link:#000}
html{font-size:11px}form.filter,.skip,.pages,footer .links{display:none}section{border:0;padding:0;break-inside:auto}tr,.findings>li{break-inside:avoid}
.scroll{overflow:visible}svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@media (prefers-contrast:more){:root{--line:currentColor}}
`.trim();
