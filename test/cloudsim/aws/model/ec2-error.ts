/** What EC2 answers instead of a result. Codes: docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (read 2026-11). */
export class Ec2Error extends Error {
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.name = "Ec2Error";
    this.code = code;
    this.status = status;
  }
}

/** `InvalidParameterValue`: the code behind most refusals of EC2; only the message tells them apart. */
export const invalidValue = (message: string) => new Ec2Error("InvalidParameterValue", message);

/** Two parameters that exclude each other. */
export const invalidCombination = (message: string) => new Ec2Error("InvalidParameterCombination", message);

export const missingParameter = (name: string) =>
  new Ec2Error("MissingParameter", `The request must contain the parameter ${name}`);
