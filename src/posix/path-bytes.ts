let room = Buffer.alloc(4096);

/** A path (one character a byte) as the kernel takes it, NUL-terminated. It holds until this thread's next call. */
export function pathBytes(path: string): Buffer {
  if (path.length >= room.length) room = Buffer.alloc(path.length + 1);
  room[room.write(path, 0, 'latin1')] = 0;
  return room;
}
