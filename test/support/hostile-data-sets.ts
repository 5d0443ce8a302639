import { deflateRawSync } from 'node:zlib';
import { encode, header, imageElements, imageObject, SOP, TS, UID_ROOT } from './data-sets';
import type { Element, ObjectFields, SentObject } from './data-sets';

/** Data sets that a node has to refuse or survive, each with its own UIDs so that leftovers can be found. */
let serial = 0;

function fresh(): Required<Pick<ObjectFields, 'SOPInstanceUID' | 'StudyInstanceUID' | 'SeriesInstanceUID'>> {
  serial += 1;
  const study = `${UID_ROOT}.666.${serial}`;
  return { StudyInstanceUID: study, SeriesInstanceUID: `${study}.1`, SOPInstanceUID: `${study}.1.1` };
}

export function nested(depth: number, undefinedLength = true): SentObject {
  let content = Buffer.alloc(0);
  if (undefinedLength) {
    const open = Buffer.concat([
      header(0x0040a730, 'SQ', 0xffffffff, 'explicit'),
      header(0xfffee000, '', 0xffffffff, 'explicit'),
    ]);
    const close = Buffer.concat([
      header(0xfffee00d, '', 0, 'explicit'),
      header(0xfffee0dd, '', 0, 'explicit'),
    ]);
    content = Buffer.concat([
      ...Array.from({ length: depth }, () => open),
      ...Array.from({ length: depth }, () => close),
    ]);
  } else {
    const parts: Buffer[] = [];
    let length = 0;
    for (let level = 0; level < depth; level += 1) {
      const item = header(0xfffee000, '', length, 'explicit');
      length += item.length;
      const sequence = header(0x0040a730, 'SQ', length, 'explicit');
      length += sequence.length;
      parts.push(item, sequence);
    }
    content = Buffer.concat(parts.reverse());
  }
  const identity = fresh();
  const before = encode(imageElements({ ...identity, size: 0 }));
  return { ...imageObject({ ...identity, size: 0 }), dataSet: Buffer.concat([before, content]) };
}

/** A few hundred kilobytes that inflate to `bytes` of zeros in a private element before the study's UID. */
export function deflateBomb(bytes: number): SentObject {
  const identity = fresh();
  const elements = imageElements({ ...identity, size: 0 });
  const inflated = Buffer.concat([
    encode(elements.filter(({ tag }) => tag < 0x00090000)),
    encode([{ tag: 0x00090010, vr: 'LO', value: 'BOMB' }]),
    header(0x00091001, 'OB', bytes, 'explicit'),
    Buffer.alloc(bytes),
    encode(elements.filter(({ tag }) => tag >= 0x00090000)),
  ]);
  return {
    ...imageObject({ ...identity, size: 0 }, TS.deflated),
    dataSet: deflateRawSync(inflated, { level: 9 }),
  };
}

/** An element that says it is longer than what follows it. */
export function longerThanTheFile(tag: number, vr: string, claimedLength: number): SentObject {
  const identity = fresh();
  const extra: Element = { tag, vr, value: 'X ', claimedLength };
  return imageWith(identity, { extra: [extra], size: 0 });
}

/** The data set's own UIDs, as they are, also in the command that announces it. */
export function withInstanceUID(uid: string): SentObject {
  const identity = { ...fresh(), SOPInstanceUID: uid };
  return imageWith(identity, {
    extra: [{ tag: 0x00080018, vr: 'UI', value: evenUid(uid) }],
  });
}

export function withStudyUID(uid: string | undefined): SentObject {
  const identity = fresh();
  if (uid === undefined) return imageWith(identity, { without: [0x0020000d] });
  return imageWith(identity, { extra: [{ tag: 0x0020000d, vr: 'UI', value: evenUid(uid) }] });
}

export function withSeriesUID(uid: string | undefined): SentObject {
  const identity = fresh();
  if (uid === undefined) return imageWith(identity, { without: [0x0020000e] });
  return imageWith(identity, { extra: [{ tag: 0x0020000e, vr: 'UI', value: evenUid(uid) }] });
}

/** The data set names another instance or class than the command does. */
export function otherThanTheCommand(what: 'instance' | 'class'): SentObject {
  const identity = fresh();
  const extra: Element =
    what === 'instance'
      ? { tag: 0x00080018, vr: 'UI', value: `${identity.SOPInstanceUID}.7` }
      : { tag: 0x00080016, vr: 'UI', value: SOP.mr };
  return imageWith(identity, { extra: [extra] });
}

export function withoutElement(tag: number): SentObject {
  return imageWith(fresh(), { without: [tag] });
}

export function randomBytes(length: number): SentObject {
  const identity = fresh();
  const noise = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) noise[at] = (at * 197 + 89) & 0xff;
  return { ...imageObject(identity), dataSet: noise };
}

export function goodObject(fields: ObjectFields = {}, transferSyntax: string = TS.explicit): SentObject {
  return imageObject({ ...fresh(), ...fields }, transferSyntax);
}

function imageWith(identity: ObjectFields, fields: ObjectFields): SentObject {
  return imageObject({ ...identity, ...fields });
}

/** Padded with one NUL to even length (PS3.5 9.1), whatever the text is. */
function evenUid(uid: string): Buffer {
  const bytes = Buffer.from(uid, 'latin1');
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
}
