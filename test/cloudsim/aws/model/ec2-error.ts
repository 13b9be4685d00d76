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

/** What a call says of an interface id that it finds nothing for. */
export function noSuchInterface(id: string): Ec2Error {
  if (!/^eni-[0-9a-f]+$/.test(id)) {
    return new Ec2Error("InvalidNetworkInterfaceId.Malformed", `Invalid id: "${id}" (expecting "eni-...")`);
  }
  return new Ec2Error("InvalidNetworkInterfaceID.NotFound", `The networkInterface ID '${id}' does not exist`);
}

/** Two parameters that exclude each other. */
export const invalidCombination = (message: string) => new Ec2Error("InvalidParameterCombination", message);

export const missingParameter = (name: string) =>
  new Ec2Error("MissingParameter", `The request must contain the parameter ${name}`);
