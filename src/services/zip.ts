import { crc32 } from 'node:zlib';
import { IsocenterError } from '../errors';
import { PartFile } from './export-part-file';

/** From here on a number takes the Zip64 fields (APPNOTE 4.4.1.4): all ones say "look there". */
const MAX_32 = 0xffffffff;
const MAX_16 = 0xffff;
const LOCAL_HEADER = 30;
/** In a local header. */
const CRC_OFFSET = 14;
/** Version 4.5 reads Zip64; 2.0 all else that is written here. */
const VERSION_ZIP64 = 45;
const VERSION = 20;
/** Made by: UNIX, so that the mode counts; regular file, rw-r--r--. */
const MADE_BY = (3 << 8) | VERSION_ZIP64;
const MODE = 0o100644 << 16;
/** Names are UTF-8 (APPNOTE appendix D). */
const UTF8_NAMES = 1 << 11;
/** 1980-01-01: the same content makes the same file. */
const DATE = (1 << 5) | 1;
/** Central headers that are written together: about 128 KiB. */
const HEADERS_AT_ONCE = 1024;

interface Entry {
  readonly name: Buffer;
  readonly size: number;
  readonly offset: number;
  readonly crc: number;
}

/**
 * A ZIP file as it is written: entries are stored, not deflated (images don't shrink), one after the other, their sizes and checksums in the local
 * headers so that readers of streams can use it too; Zip64 where it is needed. Memory: about 150 bytes an entry. The file gets its
 * name with `commit`; one of `commit` and `discard` ends it.
 */
export class ZipWriter {
  private readonly file: PartFile;
  private readonly entries: Entry[] = [];

  private constructor(file: PartFile) {
    this.file = file;
  }

  /** @throws IsocenterError `FILE_UNWRITABLE` */
  static async create(path: string): Promise<ZipWriter> {
    return new ZipWriter(await PartFile.create(path));
  }

  /**
   * Adds a file of so many bytes. Where its bytes can't be had to the end nothing of it stays, and others may follow.
   * @throws what `bytes` throws; IsocenterError `FILE_CHANGED` where they are not as many, `FILE_UNWRITABLE`
   */
  async add(name: string, size: number, bytes: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
    const { file } = this;
    const offset = file.size;
    const encoded = Buffer.from(name, 'utf8');
    try {
      await file.write(localHeader(encoded, size));
      const start = file.size;
      let crc = 0;
      for await (const chunk of bytes) {
        crc = crc32(chunk, crc);
        await file.write(chunk);
      }
      if (file.size - start !== size)
        throw new IsocenterError('FILE_CHANGED', `${name} has ${file.size - start} bytes, not ${size}`);
      await file.writeAt(u32(crc), offset + CRC_OFFSET);
      this.entries.push({ name: encoded, size, offset, crc });
    } catch (error) {
      await file.truncate(offset);
      throw error;
    }
  }

  /** @throws IsocenterError `FILE_EXISTS`, `FILE_UNWRITABLE` */
  async commit(options: { readonly replace: boolean }): Promise<void> {
    const { file, entries } = this;
    const start = file.size;
    for (let at = 0; at < entries.length; at += HEADERS_AT_ONCE)
      await file.write(Buffer.concat(entries.slice(at, at + HEADERS_AT_ONCE).map(centralHeader)));
    await file.write(endOfCentralDirectory(entries.length, start, file.size - start));
    await file.commit(options);
  }

  async discard(): Promise<void> {
    await this.file.discard();
  }
}

/** APPNOTE 4.3.7 */
function localHeader(name: Buffer, size: number): Buffer {
  const extra = size >= MAX_32 ? zip64Extra([size, size]) : Buffer.alloc(0);
  const header = Buffer.alloc(LOCAL_HEADER);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(extra.length > 0 ? VERSION_ZIP64 : VERSION, 4);
  header.writeUInt16LE(UTF8_NAMES, 6);
  header.writeUInt16LE(DATE, 12);
  header.writeUInt32LE(Math.min(size, MAX_32), 18);
  header.writeUInt32LE(Math.min(size, MAX_32), 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra]);
}

/** APPNOTE 4.3.12 */
function centralHeader({ name, size, offset, crc }: Entry): Buffer {
  const large = [...(size >= MAX_32 ? [size, size] : []), ...(offset >= MAX_32 ? [offset] : [])];
  const extra = large.length > 0 ? zip64Extra(large) : Buffer.alloc(0);
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(MADE_BY, 4);
  header.writeUInt16LE(extra.length > 0 ? VERSION_ZIP64 : VERSION, 6);
  header.writeUInt16LE(UTF8_NAMES, 8);
  header.writeUInt16LE(DATE, 14);
  header.writeUInt32LE(crc, 16);
  header.writeUInt32LE(Math.min(size, MAX_32), 20);
  header.writeUInt32LE(Math.min(size, MAX_32), 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(extra.length, 30);
  header.writeUInt32LE(MODE >>> 0, 38);
  header.writeUInt32LE(Math.min(offset, MAX_32), 42);
  return Buffer.concat([header, name, extra]);
}

/** APPNOTE 4.5.3: only what doesn't fit its own field, in this order: size, compressed size, offset. */
function zip64Extra(numbers: readonly number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * numbers.length);
  extra.writeUInt16LE(0x0001, 0);
  extra.writeUInt16LE(8 * numbers.length, 2);
  numbers.forEach((number, index) => extra.writeBigUInt64LE(BigInt(number), 4 + 8 * index));
  return extra;
}

/** APPNOTE 4.3.14 to 4.3.16 */
function endOfCentralDirectory(count: number, offset: number, size: number): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, MAX_16), 8);
  end.writeUInt16LE(Math.min(count, MAX_16), 10);
  end.writeUInt32LE(Math.min(size, MAX_32), 12);
  end.writeUInt32LE(Math.min(offset, MAX_32), 16);
  if (count < MAX_16 && size < MAX_32 && offset < MAX_32) return end;
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(BigInt(record.length - 12), 4);
  record.writeUInt16LE(MADE_BY, 12);
  record.writeUInt16LE(VERSION_ZIP64, 14);
  record.writeBigUInt64LE(BigInt(count), 24);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(size), 40);
  record.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + size), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator, end]);
}

function u32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}
