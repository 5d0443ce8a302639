/** What else arrives on a DICOM port: monitors, browsers, scanners, and TLS where plain is spoken. */
const PROTOCOLS: readonly { readonly prefix: RegExp; readonly name: string }[] = [
  { prefix: /^\x16\x03/, name: 'TLS' },
  { prefix: /^(?:GET |POST |PUT |HEAD |OPTION|DELETE|PATCH |CONNEC|TRACE |PRI \*)/, name: 'HTTP' },
  { prefix: /^SSH-/, name: 'SSH' },
  { prefix: /^\x0bMSH/, name: 'HL7 (MLLP)' },
  { prefix: /^(?:EHLO |HELO )/, name: 'SMTP' },
  { prefix: /^\x03\0\0/, name: 'RDP' },
];

/**
 * Which protocol the first bytes of a connection belong to, for the log; undefined where they are nothing known.
 * Six bytes are enough.
 */
export function recogniseProtocol(bytes: Buffer): string | undefined {
  const text = bytes.toString('latin1', 0, 6);
  return PROTOCOLS.find(({ prefix }) => prefix.test(text))?.name;
}
