/** Nothing from outside becomes markup, wherever it is shown. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { overviewOfResources } from '../overview/index.ts';
import {
  backup,
  claim,
  daysAgo,
  drill,
  location,
  NOW,
  restore,
  schedule,
} from '../overview/testing/fixtures.ts';
import { escapeHtml, html, prose } from './html.ts';
import { pageRoutes } from './routes.ts';

describe('escaping', () => {
  test.each([
    ['<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'],
    [`" onload='x' \``, '&quot; onload=&#39;x&#39; &#96;'],
    ['a\u202eb\u001b[31m\n', 'a\\u{202e}b\\x1b[31m\\n'],
    ['&lt;', '&amp;lt;'],
  ])('%j', (text, expected) => expect(escapeHtml(text)).toBe(expected));

  test('every text that is interpolated, also in lists', () => {
    const text = '<b>';
    expect(html`<p title="${text}">${[text, html`<i>${text}</i>`, 1, false, undefined, null]}</p>`.text).toBe(
      '<p title="&lt;b&gt;">&lt;b&gt;<i>&lt;b&gt;</i>1</p>',
    );
  });

  test('code between backticks', () => {
    expect(prose('run `a <b>` or `c`').text).toBe('run <code>a &lt;b&gt;</code> or <code>c</code>');
  });

  test('any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const escaped = escapeHtml(text);
        expect(escaped).not.toMatch(/[<>"'`]|&(?!(?:amp|lt|gt|quot|#39|#96);)/);
        expect(prose(text).text.replaceAll(/<\/?code>/g, '')).not.toMatch(/[<>"'`]/);
      }),
    );
  });
});

/** Tags of a page, with their attributes, but without what stands in them. */
const skeleton = (page: string) =>
  [...page.matchAll(/<[^>]*>/g)]
    .map(([tag]) => tag.replaceAll(/"[^"]*"/g, '""'))
    // Rows are sorted by name.
    .sort()
    .join('\n');

const marked = (text: string) => `x${text}x`;

/** One of everything that the page shows, with this text wherever a name or a message can stand. */
async function pageWith(text: string, query: string): Promise<string> {
  const name = marked(text);
  const status = {
    conditions: [
      {
        type: 'Ready',
        status: 'False' as const,
        reason: name,
        message: name,
        lastTransitionTime: daysAgo(1),
      },
    ],
    schedule: name,
    lastBackup: { name, phase: name, message: name, archive: name },
    lastSuccessfulTime: daysAgo(3),
    lastSuccessfulBackup: { name, archive: name, sizeBytes: 1, pruned: 0 },
    copies: [
      { location: name, phase: 'Failed' as const, reason: name, message: name, archive: name },
      { location: 'bucket', phase: 'Copied' as const, archive: name, lastSuccessfulTime: daysAgo(4) },
    ],
  };
  const failed = backup(2, { phase: 'Failed', reason: name, message: name }, name);
  failed.metadata.name = name;
  const going = restore(name, {}, { phase: 'Failed', reason: name, message: name, startTime: daysAgo(1) });
  const test = drill(name, 1, 'Failed');
  test.spec.source = { scheduleName: name };
  test.status!.message = name;
  going.status!.resolved = { archive: { name, claimName: name, path: name }, series: name };
  const overview = overviewOfResources(
    {
      schedules: [
        schedule({ copies: [{ locationRef: { name: 'bucket' } }] }, status, { name, namespace: 'team' }),
        schedule({}, {}, { name: 'other', namespace: name }),
      ],
      backups: [failed, backup(3, { phase: 'Incomplete', reason: name, message: name }, name)],
      restores: [going, test],
      locations: [
        location(name, {
          conditions: [
            {
              type: 'Available',
              status: 'False',
              reason: name,
              message: name,
              lastTransitionTime: daysAgo(1),
            },
          ],
          url: name,
        }),
      ],
      claims: [claim(name), claim('state')],
    },
    NOW,
  );
  const routes = pageRoutes({ subject: name, note: name, overview: () => overview, monotonic: () => 0 });
  return String((await routes['/']!(new URL(`http://x/${query}`))).body);
}

describe('a page with hostile names and messages', () => {
  const hostile = fc.oneof(
    fc.constantFrom(
      '"><script>alert(1)</script>',
      "' onmouseover='alert(1)",
      '</title></style></script><img src=x onerror=alert(1)>',
      '$' + '{alert(1)}',
      '<!--',
      ']]>',
      '\u0000\u2028\ud800',
    ),
    fc.string({ unit: 'binary', maxLength: 40 }),
  );

  test.each([
    ['all schedules', () => ''],
    ['one schedule', (text: string) => `?schedule=${encodeURIComponent(marked(text).toWellFormed())}`],
    [
      'a search',
      (text: string) =>
        `?q=${encodeURIComponent(text.toWellFormed())}&health=x${encodeURIComponent(text.toWellFormed())}`,
    ],
  ])('%s: the markup is the same as with a harmless text', async (_, query) => {
    // A backtick is left out: between two of them stands code, which is markup of ours.
    const harmless = 'not-a-reason';
    const plain = skeleton(await pageWith(harmless, query(harmless)));
    await fc.assert(
      fc.asyncProperty(hostile, async (text) => {
        const given = text.replaceAll('`', '').replaceAll(/\s/g, '_').toWellFormed();
        // A text that could be a reason may have advice.
        fc.pre(!/^[\w,:]*$/.test(given));
        expect(skeleton(await pageWith(given, query(given)))).toBe(plain);
      }),
      { numRuns: 60 },
    );
  });
});
