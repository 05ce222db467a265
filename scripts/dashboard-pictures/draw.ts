/**
 * `node scripts/dashboard-pictures/draw.ts --folder FOLDER`: draws the chart's dashboards with what record.ts left in FOLDER, as
 * docs/images/dashboard-*.png. Each query runs against a real Prometheus; uPlot, which Grafana uses too, draws the curves.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { escapeHtml } from '../../src/page/html.ts';
import { launchBrowser } from '../../test/support/browser.ts';
import { ensurePrometheus, type Prometheus, startPrometheus } from '../../test/support/prometheus.ts';
import { commandLine } from '../command-line.ts';
import { type Dashboard, type DrawnPanel, filled, secondsOf } from './model.ts';
import { type Answer, DRAWINGS, type Series, type Span } from './panels.ts';
import { folderOf, PICTURES } from './pictures.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const WIDTH = 1480;
const UPLOT = path.dirname(createRequire(import.meta.url).resolve('uplot/package.json'));

/** An instant query has one value for each series. */
interface Result {
  readonly result: readonly {
    readonly metric: Series['metric'];
    readonly value?: Series['values'][number];
    readonly values?: Series['values'];
  }[];
}

async function answersOf(
  { ask }: Prometheus,
  panel: DrawnPanel,
  span: Span,
  variables: Record<string, string>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const target of panel.targets ?? []) {
    const query = filled(target.expr, variables);
    const { result } = target.instant
      ? await ask<Result>('query', { query, time: span.to })
      : await ask<Result>('query_range', { query, start: span.from, end: span.to, step: span.step });
    const series = result.map(({ metric, value, values }) => ({ metric, values: values ?? [value!] }));
    answers.push({ target, series });
  }
  return answers;
}

const STYLE = `
body{margin:0;padding:8px;width:${WIDTH}px;background:#111217;color:#ccccdc;font:13px Inter,"DejaVu Sans",sans-serif;position:relative;box-sizing:border-box}
h1{font-size:17px;font-weight:500;margin:2px 4px 10px;height:22px}h1 small{color:#8e8e99;float:right;font-size:13px}
.panel{position:absolute;box-sizing:border-box;background:#181b1f;border:1px solid #24262b;border-radius:3px;padding:7px 9px;display:flex;flex-direction:column;overflow:hidden}
.panel h2{font-size:13px;font-weight:500;margin:0 0 4px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.row{position:absolute;font-size:15px;padding:4px;font-weight:500}.plot{flex:1;min-height:0}
.stat{flex:1;display:flex;align-items:center;justify-content:center;font-size:27px;font-weight:500;white-space:nowrap}
.none{flex:1;display:flex;align-items:center;justify-content:center;color:#8e8e99}
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:500;color:#6e9fff;font-size:12px}td,th{padding:6px 5px;border-bottom:1px solid #24262b;white-space:nowrap}
.legend{font-size:11px;padding-top:3px;overflow:hidden;max-height:32px}.legend span{margin-right:12px;white-space:nowrap}.legend i{display:inline-block;width:13px;height:4px;border-radius:2px;margin:0 5px 2px 0}
.states{flex:1;display:flex;flex-direction:column;justify-content:space-evenly}.state{display:flex;align-items:center;flex:1;max-height:48px}.state>span{width:110px;font-size:11px;flex:none}.state>div{position:relative;flex:1;height:80%}
.state b{position:absolute;top:0;height:100%;display:flex;align-items:center;padding-left:5px;box-sizing:border-box;color:#111217;font-size:11px;font-weight:500;overflow:hidden;white-space:nowrap}
.axis{max-height:15px}.axis>div{display:flex;font-size:11px}.axis>div span{flex:1;color:#8e8e99;white-space:nowrap}.u-legend{display:none}`;

/** As text: these lines run in the browser, whose types this project does not know. */
const SCRIPT = `
const plots = JSON.parse(document.getElementById('plots').textContent);
for (const [id, {data, colors, bars, names, from, to, ticks}] of Object.entries(plots)) {
  const box = document.querySelector('#' + id + ' .plot');
  const grid = {stroke: '#26282e', width: 1}, font = '11px Inter,"DejaVu Sans",sans-serif';
  const stamps = seconds => new Date(seconds * 1000).toISOString();
  const long = to - from > 2 * 86400;
  const width = Math.max(...ticks.texts.map(text => text.length)) * 7 + 16;
  new uPlot({
    width: box.clientWidth, height: box.clientHeight, cursor: {show: false}, legend: {show: false},
    tzDate: seconds => uPlot.tzDate(new Date(seconds * 1e3), 'Etc/UTC'),
    scales: {x: {range: [from, to]}, y: {range: [ticks.at[0], ticks.at.at(-1)]}},
    axes: [
      {stroke: '#8e8e99', grid, ticks: grid, font, size: 24, space: 90, values: (u, at) => at.map(s => long ? stamps(s).slice(5, 10).replace('-', '/') + ' ' + stamps(s).slice(11, 16) : stamps(s).slice(11, 16))},
      {stroke: '#8e8e99', grid, ticks: grid, font, size: width, splits: () => ticks.at, values: () => ticks.texts},
    ],
    series: [{}, ...colors.map(color => ({stroke: color, width: bars ? 0 : 1.4, points: {show: bars ? false : undefined, size: 4, fill: color}, ...(bars && {fill: color, paths: uPlot.paths.bars({size: [0.8, 60], align: -1})})}))],
  }, data, box);
}`;

async function pageOf(
  dashboard: Dashboard,
  prometheus: Prometheus,
  to: number,
  chosen: Record<string, string>,
): Promise<{ html: string; height: number; drawn: Record<string, number> }> {
  const seconds = secondsOf(dashboard.time.from);
  const every = Object.fromEntries(
    dashboard.templating.list.filter(({ includeAll }) => includeAll).map(({ name }) => [name, '.*']),
  );
  const variables: Record<string, string> = { ...every, ...chosen };
  const cell = (WIDTH - 8) / 24;
  const plots: Record<string, object> = {};
  const drawn: Record<string, number> = {};
  let height = 0;
  const boxes: string[] = [];
  for (const [index, panel] of dashboard.panels.entries()) {
    const { x, y, w, h } = panel.gridPos;
    const place = `left:${4 + x * cell}px;top:${44 + y * 38}px;width:${w * cell - 8}px;height:${h * 38 - 8}px`;
    height = Math.max(height, 44 + (y + h) * 38);
    const title = escapeHtml(filled(panel.title, variables));
    if (panel.type === 'row') {
      boxes.push(`<div class="row" style="${place}">⌄ ${title}</div>`);
      continue;
    }
    const least = panel.interval ? secondsOf(panel.interval) : 60;
    const step = Math.max(least, Math.ceil(seconds / (w * cell) / 60) * 60);
    // As Grafana does: both ends are whole steps.
    const span = {
      from: Math.floor((to - seconds) / step) * step,
      to: panel.targets?.[0]?.instant ? to : Math.floor(to / step) * step,
      step,
    };
    const answers = await answersOf(prometheus, panel, span, variables);
    drawn[panel.title] = answers.reduce((sum, { series }) => sum + series.length, 0);
    const { html, plot } = DRAWINGS[panel.type](panel, answers, span);
    if (plot) plots[`p${index}`] = plot;
    boxes.push(`<div class="panel" id="p${index}" style="${place}"><h2>${title}</h2>${html}</div>`);
  }
  const subject = Object.values(chosen).join('/') || 'namespace: All, schedule: All';
  const text = (file: string) => fs.readFileSync(path.join(UPLOT, 'dist', file), 'utf8');
  const html = `<!doctype html><meta charset="utf-8"><style>${text('uPlot.min.css')}${STYLE}</style><body>
<h1>${escapeHtml(dashboard.title)}<small>${escapeHtml(subject)} · ${dashboard.time.from} to ${new Date(to * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC</small></h1>
${boxes.join('\n')}<script type="application/json" id="plots">${JSON.stringify(plots).replaceAll('<', '\\u003c')}</script>
<script>${text('uPlot.iife.min.js')}</script><script>${SCRIPT}</script>`;
  return { html, height: height + 4, drawn };
}

const folder = commandLine({ folder: { type: 'string' } }, ({ folder: given }) => folderOf(given));
fs.writeFileSync(path.join(folder, 'prometheus.yml'), '{}');
const to = JSON.parse(fs.readFileSync(path.join(folder, 'end.json'), 'utf8')) as number;
const prometheus = await startPrometheus(await ensurePrometheus(), folder);
const browser = await launchBrowser();
try {
  const all: Record<string, Record<string, number>> = {};
  for (const { file, name, chosen, empty } of PICTURES) {
    const json = fs.readFileSync(path.join(ROOT, 'charts/km-backup-operator/dashboards', file), 'utf8');
    const { html, height, drawn } = await pageOf(JSON.parse(json) as Dashboard, prometheus, to, chosen);
    all[name] = drawn;
    for (const [title, count] of Object.entries(drawn))
      if (count === 0 && !(title in empty)) console.error(`${name}: no data for "${title}"`);
    const page = await browser.newPage({ viewport: { width: WIDTH, height } });
    page.on('pageerror', (error) => console.error(String(error)));
    await page.setContent(html);
    await page.screenshot({ path: path.join(ROOT, `docs/images/${name}.png`) });
  }
  fs.writeFileSync(path.join(import.meta.dirname, 'drawn.json'), `${JSON.stringify(all, null, 2)}\n`);
} finally {
  await browser.close();
  await prometheus.stop();
}
