/** Why a data set can't be brought into another syntax: half a sentence, without a value of the data set. */
export class RecodeProblem extends Error {
  readonly code = 'RECODE';
}
