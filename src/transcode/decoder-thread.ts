import { parentPort } from 'node:worker_threads';
import { log, NativeCodecs } from 'dcmjs-codecs';
import { errorMessage } from '../errors';
import { RecodeProblem } from '../dicom/recode-problem';
import { decodeFrame } from './decode';
import type { DecodedFrame, EncodedFrame } from './pixel-module';

/** What the thread answers: the frame, or why there is none. */
export type DecoderReply = { readonly frame: DecodedFrame } | { readonly problem: string };

/** Memory of the codecs beyond which they are started anew: it never shrinks. */
const MUCH_MEMORY = 512 * 1024 * 1024;

/** What decoders say when they go on with made-up pixels. */
const MADE_UP = /corrupt jpeg data: (?!\d+ extraneous)|premature end|truncated|corrupt/i;

const port = parentPort;
if (port === null) throw new Error('this file is run as a worker thread');

let remarks: string[] = [];
const remark = (text: unknown): void => {
  if (remarks.length < 100) remarks.push(String(text));
};
log.info = remark;
log.error = remark;

let ready = NativeCodecs.initializeAsync({ logCodecsInfo: true });

port.on('message', (frame: EncodedFrame) => {
  void answer(frame);
});

async function answer(frame: EncodedFrame): Promise<void> {
  let reply: DecoderReply;
  try {
    await ready;
    remarks = [];
    const decoded = decodeFrame(frame);
    const bad = remarks.find((text) => MADE_UP.test(text));
    reply = bad === undefined ? { frame: decoded } : { problem: clean(bad) };
    if (usedMemory() > MUCH_MEMORY) restart();
  } catch (error) {
    const own = error instanceof RecodeProblem;
    if (own) reply = { problem: error.message };
    else if (error instanceof Error && error.name === 'RuntimeError')
      reply = { problem: 'the decoder broke down over a frame' };
    else reply = { problem: clean(errorMessage(error)) };
    // Thrown through the codecs, which leaves their memory as it was in the middle.
    if (!own) restart();
  }
  port?.postMessage(reply, 'frame' in reply ? [reply.frame.bytes] : []);
}

function restart(): void {
  NativeCodecs.release();
  ready = NativeCodecs.initializeAsync({ logCodecsInfo: true });
  // Awaited by the next frame.
  ready.catch(() => undefined);
}

function usedMemory(): number {
  const { wasmApi } = NativeCodecs as unknown as { wasmApi?: { wasmMemory?: { buffer: ArrayBuffer } } };
  return wasmApi?.wasmMemory?.buffer.byteLength ?? 0;
}

/** The decoder's own words, fit for a log line. */
function clean(text: string): string {
  const words = text.replace(/^(?:\w+::)+/, '').replace(/[^\x20-\x7e]+/g, ' ');
  return `the decoder says "${words.slice(0, 160).trim()}"`;
}
