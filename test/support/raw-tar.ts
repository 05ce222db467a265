import { gzipSync } from 'node:zlib';

/** One header from its raw fields, valid or not: for archives that no tar would write. Names are Latin-1. */
export interface RawEntry {
  readonly name: string;
  readonly type?: string;
  readonly link?: string;
  readonly mode?: number;
  readonly content?: string | Buffer;
  /** The size in the header, if it differs from the content's length. */
  readonly size?: number;
  readonly uid?: number;
}

export function rawEntry({
  name,
  type = '0',
  link = '',
  mode = 0o644,
  content = '',
  size,
  uid = 0,
}: RawEntry): Buffer {
  const body = Buffer.isBuffer(content) ? content : Buffer.from(content, 'latin1');
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, width: number) =>
    block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  block.write(name.slice(0, 100), 0, 'latin1');
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(0, 116, 8);
  octal(size ?? body.length, 124, 12);
  octal(1_700_000_000, 136, 12);
  block.write(type, 156, 'latin1');
  block.write(link, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  return Buffer.concat([sealed(block), body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** The block with a correct checksum. */
export function sealed(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

export function pax(records: Readonly<Record<string, string>>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const body = ` ${key}=${value}\n`;
    let length = body.length;
    while (String(length).length + body.length !== length) length = String(length).length + body.length;
    return `${length}${body}`;
  });
  return rawEntry({ name: './PaxHeaders/x', type, content: lines.join('') });
}

export const endOfArchive = Buffer.alloc(1024);

/** A whole .tgz in one gzip member. */
export function rawArchive(entries: readonly (RawEntry | Buffer)[], end = endOfArchive): Buffer {
  return gzipSync(
    Buffer.concat([...entries.map((entry) => (Buffer.isBuffer(entry) ? entry : rawEntry(entry))), end]),
  );
}
