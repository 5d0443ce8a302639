/** An instance on its way out, wherever its bytes are: in the store, or in a file that somebody named. */
export interface OutgoingInstance {
  /** Arrival id or path, for log lines and reports; never patient data. */
  readonly name: string;
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  /** The transfer syntax in which it is kept. */
  readonly TransferSyntaxUID: string;
  /** Bytes of the data set. */
  readonly dataSetLength: number;
  /**
   * The bytes of the data set as they are kept. What is checked against a seal must not be taken as complete by a receiver before it is known
   * to be right: an object of at most 4 MiB is checked before its first byte is handed out, a larger one before its last chunk is.
   * The iterator's `return` closes the file. `allocate`: memory to read into, which the caller uses again.
   * @throws IsocenterError `FILE_DAMAGED` where the bytes are not what they were, or gone; `FILE_CHANGED` of a named file; `STORE_FAILED` where
   * they can't be read now: the instance can't be sent; in the middle, too.
   */
  read(allocate?: (length: number) => Buffer): AsyncIterable<Buffer>;
}

/** Brings a data set into another transfer syntax without loss (PS3.5 10, Annex A). */
export interface Transcoder {
  /** Transfer syntaxes that `from` can be brought into, the preferred one first; none where it must go out as it is. */
  targets(from: string): readonly string[];
  /**
   * The data set in the syntax `to`, one of `targets(from)`. Elements keep their order, private and unknown ones their bytes; UIDs stay.
   * @throws IsocenterError `TRANSCODE_FAILED` with the reason: before the first byte where that can be known.
   */
  transcode(dataSet: AsyncIterable<Buffer>, from: string, to: string): AsyncIterable<Buffer>;
}
