export const title = "Between two digits";
export const aboutDigit = false;
export const lead = () => "";
export const impossible = () => "";
export function show() {}
