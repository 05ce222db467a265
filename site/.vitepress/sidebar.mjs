/** The sidebar, from the map of all pages: its sections, the groups in them, and each page that they link to. */
export function sidebarOf(map, folder) {
  const sections = [];
  let items = [];
  for (const line of map.split('\n')) {
    const [, section] = /^## (.*)$/.exec(line) ?? [];
    const [, group] = /^([A-Z][^.|]*):$/.exec(line) ?? [];
    if (section) {
      items = [];
      sections.push({ text: section, items });
    } else if (sections.length === 0) continue;
    else if (group) {
      items = [];
      sections.at(-1).items.push({ text: group, collapsed: true, items });
    } else if (/^( {2})?[-\w[]/.test(line)) {
      for (const [, text, page] of line.matchAll(/\[([^\]]+)\]\(([^)#]+)\.md\)/g))
        items.push({ text: titleOf(text), link: linkOf(folder, page) });
    }
  }
  return sections;
}

/** Names of programs stay as they are. */
const titleOf = (text) => (/^(km-|kubectl)/.test(text) ? text : text[0].toUpperCase() + text.slice(1));

const linkOf = (folder, page) =>
  new URL(`${folder}/${page}`, 'file:///').pathname.replace(/(^|\/)README$/, '$1');
