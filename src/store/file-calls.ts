import * as fs from 'node:fs';

/**
 * The calls to the file system that the store makes, and no others: tests put errors, short writes and delays in their
 * place. Plain callbacks underneath: a `FileHandle` costs some 20 µs more a file.
 */
export interface FileCalls {
  open(path: string, flags: number, mode?: number): Promise<number>;
  /** Bytes written, which may be fewer than given. */
  writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number>;
  /** Bytes read from `position` of the file into the buffer; 0 at the end of the file. */
  read(fd: number, buffer: Buffer, position: number): Promise<number>;
  ftruncate(fd: number, length: number): Promise<void>;
  fdatasync(fd: number): Promise<void>;
  fsync(fd: number): Promise<void>;
  close(fd: number): Promise<void>;
  fstat(fd: number): Promise<fs.Stats>;
  lstat(path: string): Promise<fs.Stats>;
  realpath(path: string): Promise<string>;
  readdir(path: string): Promise<fs.Dirent[]>;
  mkdir(path: string, mode: number): Promise<void>;
  rmdir(path: string): Promise<void>;
  unlink(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  statfs(path: string): Promise<fs.StatsFs>;
}

type Callback<T> = (error: Error | null, result: T) => void;

function call<T>(start: (callback: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}

function done(start: (callback: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

export const fileCalls: FileCalls = {
  open: (path, flags, mode) => call((callback) => fs.open(path, flags, mode, callback)),
  writev: (fd, buffers, position) => call((callback) => fs.writev(fd, buffers, position, callback)),
  read: (fd, buffer, position) =>
    call((callback) => fs.read(fd, buffer, 0, buffer.length, position, callback)),
  ftruncate: (fd, length) => done((callback) => fs.ftruncate(fd, length, callback)),
  fdatasync: (fd) => done((callback) => fs.fdatasync(fd, callback)),
  fsync: (fd) => done((callback) => fs.fsync(fd, callback)),
  close: (fd) => done((callback) => fs.close(fd, callback)),
  fstat: (fd) => call((callback) => fs.fstat(fd, callback)),
  lstat: (path) => call((callback) => fs.lstat(path, callback)),
  realpath: (path) => call((callback) => fs.realpath(path, callback)),
  readdir: (path) => call((callback) => fs.readdir(path, { withFileTypes: true }, callback)),
  mkdir: (path, mode) => done((callback) => fs.mkdir(path, { mode }, callback)),
  rmdir: (path) => done((callback) => fs.rmdir(path, callback)),
  unlink: (path) => done((callback) => fs.unlink(path, callback)),
  rename: (from, to) => done((callback) => fs.rename(from, to, callback)),
  statfs: (path) => call((callback) => fs.statfs(path, callback)),
};
