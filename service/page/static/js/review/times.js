// Times of the service in the words of the page.
const LOCALES = { en: "en-GB", zh: "zh-CN" };

export const timeOf = (milliseconds, language) => new Date(milliseconds).toLocaleString(LOCALES[language]);
