/**
 * A manifest in pieces that the manifests of later archives share: copies store each piece once. Unlike the manifest,
 * its pieces do not say where members lie in the archive, and where they are cut depends on the members alone.
 */
import { joinLines } from './entry-line.ts';
import { FRAME_BYTES, type Member, type MemberLines } from './manifest.ts';
import { readMemberLines } from './manifest-reader.ts';
import { ManifestWriter, type Sink } from './manifest-writer.ts';

export interface ManifestPiece {
  /** Lines of the manifest, member lines without `offset`. */
  readonly text: Buffer;
  /** The members that the lines are about. */
  readonly members: readonly MemberLines[];
}

/** Mean length of a piece: the entries of some 150 files. */
const PIECE_BYTES = 32 * 1024;

/**
 * All but the summary. Each in a `manifestFrame`, and laid end to end, with `manifestTail`, they are a manifest, too.
 * @throws {ArchiveError} as `readMemberLines`
 */
export async function* manifestPieces(manifest: string): AsyncGenerator<ManifestPiece> {
  let lines: string[] = [];
  let members: MemberLines[] = [];
  let length = 0;
  for await (const all of readMemberLines(manifest)) {
    const { member } = all;
    const { offset: _, ...rest } = member;
    const text = `${JSON.stringify({ member: rest })}\n${joinLines(all.lines)}`;
    lines.push(text);
    members.push(all);
    length += text.length;
    if (length < FRAME_BYTES && !endsPiece(member, text.length)) continue;
    yield { text: Buffer.from(lines.join('')), members };
    lines = [];
    members = [];
    length = 0;
  }
  if (length > 0) yield { text: Buffer.from(lines.join('')), members };
}

/** Whether a piece ends after this member: the longer its text, the likelier. */
function endsPiece({ sha256 }: Member, length: number): boolean {
  return Number.parseInt(sha256.slice(0, 8), 16) / 2 ** 32 < length / PIECE_BYTES;
}

/**
 * Writes the manifest that was cut into pieces as it was: the same bytes, if the same zstd writes them.
 * @param pieces path of a file with the compressed pieces and the tail, end to end
 * @throws {ArchiveError} as `readMemberLines`
 */
export async function joinManifest(pieces: string, to: Sink): Promise<void> {
  const writer = new ManifestWriter(to);
  const all = readMemberLines(pieces);
  for (;;) {
    const { done, value } = await all.next();
    if (done) {
      writer.finish(value);
      return;
    }
    const { kind, offset, ...rest } = value.member;
    writer.add({ kind, offset, ...rest }, joinLines(value.lines));
  }
}
