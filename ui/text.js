/** Every word the page says, in one place, so that it can be said in another language. */

/** The language of the words below; dates, numbers and country names follow it. */
export const LOCALE = "en-GB";

const plurals = new Intl.PluralRules(LOCALE);
const numbers = new Intl.NumberFormat(LOCALE);

function count(n, one, other) {
  return `${numbers.format(n)} ${plurals.select(n) === "one" ? one : other}`;
}

export const text = {
  promise: "Ask in your own words, get only what you are cleared to use, and know why.",
  pageTitle: (words) => (words ? `${words} – Loupe` : "Loupe"),
  skip: "Skip to results",
  home: "Loupe, start over",
  close: "Close",
  cancel: "Cancel",
  tryAgain: "Try again",

  signIn: {
    title: "Who is looking?",
    demo: "This is a demonstration library. Pick a person: each of them sees, and may use, something else.",
    token: "Paste the access token your organisation gave you. It stays in this page’s memory and is gone when you close it.",
    tokenLabel: "Access token",
    submit: "Sign in",
    refused: "That token was not accepted. It may have expired: ask for a new one.",
    roles: { viewer: "Viewer", steward: "Steward", auditor: "Auditor", administrator: "Administrator" },
  },

  person: { menu: (name) => `Signed in as ${name}. Switch person or sign out`, switchTo: "Look as", signOut: "Sign out" },
  theme: { toLight: "Switch to light", toDark: "Switch to dark" },

  search: {
    label: "Search the library",
    placeholder: "Describe the picture, or what is said in it…",
    shortPlaceholder: "Describe what you need…",
    clear: "Clear the search",
    addImage: "Search with an image",
    addWithout: "Leave something out",
    without: "without:",
    withoutLabel: "What the results should not show",
    removeWithout: "Stop leaving this out",
    imageChip: "Like your image",
    similarChip: "More like this",
    removeImage: "Remove the image",
    suggestions: "Suggestions",
    kind: { keyword: "keyword", title: "title" },
    suggested: (n) => count(n, "suggestion", "suggestions"),
    drop: "Drop an image to find more like it",
    notAnImage: "That file is not an image. JPEG, PNG and WebP work.",
  },

  balance: {
    label: "How much the words count beside the picture",
    words: "words",
    picture: "picture",
    value: (percent) => `words ${percent} %, picture ${100 - percent} %`,
  },

  usage: {
    ask: "Where will you use it?",
    edit: (words) => `Use: ${words}. Change`,
    title: "Where will you use it?",
    lead: "Results are then only what is cleared for this use, on every day of it.",
    channel: "Channel",
    anyChannel: "Any",
    channels: {
      web: "Web", social: "Social", email: "Email", print: "Print", broadcast: "Broadcast",
      out_of_home: "Out of home", internal: "Internal",
    },
    territory: "Country",
    territoryHint: "Start typing a country",
    territoryUnknown: "Pick a country from the list.",
    when: "When",
    whenOpen: "Not decided",
    months: "A month",
    thisMonth: (month) => `${month} (this month)`,
    nextMonth: (month) => `${month} (next month)`,
    days: "Other",
    whenDay: "On one day",
    whenPeriod: "A period",
    day: "Day",
    from: "First day",
    until: "Last day",
    orderWrong: "The last day lies before the first.",
    clear: "Clear",
    done: "Done",
  },

  facets: {
    title: "Filter",
    open: "Filters",
    show: (n) => `Show ${count(n, "result", "results")}`,
    clearAll: "Clear all",
    remove: (label) => `Remove filter: ${label}`,
    without: (words) => `Without: ${words}`,
    names: {
      type: "Type", collection: "Collection", keyword: "Keyword", orientation: "Orientation",
      aiGenerated: "Origin", status: "Status", created: "Created",
    },
    type: { image: "Images", video: "Video", audio: "Audio", document: "Documents" },
    orientation: { landscape: "Landscape", portrait: "Portrait", square: "Square" },
    aiGenerated: { true: "AI-generated", false: "Not AI-generated" },
    from: "From",
    to: "To",
    createdFrom: (day) => `Created from ${day}`,
    createdTo: (day) => `Created until ${day}`,
    more: (n) => `${n} more`,
    fewer: "Fewer",
  },

  status: { draft: "Draft", in_review: "In review", approved: "Approved", rejected: "Rejected", archived: "Archived" },

  results: {
    newest: "Newest in the library",
    filtered: "From the library",
    forText: (words) => words,
    likeImage: "Like your image",
    likeAsset: "More like this",
    likeAnd: (words) => `Like the image, and “${words}”`,
    count: (n) => count(n, "asset", "assets"),
    announce: (n, weak) => (n ? `${count(n, "result", "results")}${weak ? ", the first ones are weaker matches" : ""}` : "No results"),
    weakTitle: "Weaker matches",
    weakLead: "Less sure from here on: related, but perhaps not what you meant.",
    onlyWeak: "Nothing fits closely. These come nearest.",
    more: "Show more",
    loading: "Loading results",
    list: "Results",
    notCleared: (n) => `${count(n, "more is", "more are")} not cleared for this use`,
    notClearedShown: (n) => `${count(n, "asset", "assets")} shown here ${plurals.select(n) === "one" ? "is" : "are"} not cleared for this use`,
    showNotCleared: "Show them",
    hideNotCleared: "Hide them",
    similar: (title) => `More like ${title}`,
  },

  empty: {
    title: "Nothing here fits",
    lead: "Loupe shows what you may see and what is cleared for your use. Some ways on:",
    notCleared: (n) => `Show ${count(n, "asset that is", "assets that are")} not cleared for this use`,
    dropFilters: "Remove the filters",
    dropUsage: "Look without naming a use",
    dropWithout: "Stop leaving things out",
    unquote: "Search without the quotation marks",
    startOver: "Start over",
    library: "There is nothing in this library that you may see yet. Ask its steward for access.",
  },

  error: {
    unreachable: "Loupe does not answer",
    unreachableDetail: "The server cannot be reached.",
    unreachableRemedy: "Check your connection, then try again.",
    general: "That did not work",
    back: "Back to the results",
    missing: "This asset is not available",
    missingDetail: "It may have been withdrawn, or you may not be allowed to see it.",
  },

  why: {
    visual: "Looks like it",
    words: (terms) => `Words: ${terms}`,
    wordsPlain: "Its description fits",
    onPage: (page) => `page ${page}`,
  },

  badge: {
    cleared: "Cleared",
    notCleared: "Not cleared",
    ai: "AI-generated",
    sensitive: "Sensitive",
    pages: (n) => count(n, "page", "pages"),
    noPreview: { audio: "Audio", video: "Video", document: "Document", image: "Image" },
  },

  detail: {
    label: "Asset",
    previous: "Previous result",
    next: "Next result",
    position: (index, total) => `${numbers.format(index)} of ${numbers.format(total)}`,
    clearedFor: (usage) => `Cleared for ${usage}`,
    cleared: "Cleared for use",
    notClearedFor: (usage) => `Not cleared for ${usage}`,
    notCleared: "Not cleared for use",
    nameUse: "Name where you will use it for an answer to the day.",
    noUsePermission: "You may look at this asset, but downloading it is not granted to you.",
    download: "Download original",
    downloadBlocked: "Not available: see the reasons above.",
    similar: "More like this",
    credit: "Credit line",
    copy: "Copy",
    copied: "Copied",
    copyFailed: "Select the text and copy it",
    transcript: "Transcript",
    pageTexts: "What the pages say",
    page: (n) => `Page ${n}`,
    rights: "Rights",
    about: "About",
    ai: "Made with AI: carry the label along wherever you use it.",
    fields: {
      licence: "Licence", holder: "Held by", territory: "Where", channels: "Channels", period: "When",
      modelRelease: "People shown", propertyRelease: "Places and property", usageTerms: "Terms", source: "Source",
      creator: "By", created: "Created", added: "Added", collection: "Collection", file: "File", size: "Size",
      keywords: "Keywords", altText: "Alternative text", origin: "Origin",
    },
  },

  rights: {
    licences: {
      owned: "Owned", royalty_free: "Royalty-free", rights_managed: "Rights-managed", editorial: "Editorial use only",
      creative_commons: "Creative Commons", public_domain: "Public domain", unknown: "Not known",
    },
    releases: { obtained: "Release obtained", not_needed: "No release needed", missing: "Release missing", unknown: "Release not known" },
    worldwide: "Worldwide",
    worldwideExcept: (places) => `Worldwide, except ${places}`,
    only: (places) => places,
    onlyExcept: (places, except) => `${places}, except ${except}`,
    allChannels: "All channels",
    editorialChannels: "Web and internal only",
    always: "No end date",
    from: (day) => `From ${day}`,
    until: (day) => `Until ${day}, that day included`,
    between: (range) => range,
    viewSource: "See the source",
  },

  /** Why an asset is not cleared: `brief` on a card, `count` in a sum, `what` and `todo` in the detail. */
  reasons: {
    embargoed: {
      brief: "under embargo", count: "under embargo",
      what: (a) => (a.validFrom ? `It may not be used before ${a.validFrom}.` : "It is under embargo."),
      todo: "Plan the use for later, or ask a steward whether the embargo can be lifted.",
    },
    expired: {
      brief: "rights have ended", count: "expired",
      what: (a) => (a.validUntil ? `The rights ${a.usageNamed ? "last only until" : "ended on"} ${a.validUntil}.` : "The rights have ended."),
      todo: "Ask a steward to renew them, or choose another picture.",
    },
    rights_unknown: {
      brief: "rights not known", count: "rights not known",
      what: () => "Nobody has recorded under which licence it is held.",
      todo: "Ask a steward to clear up the licence before you use it.",
    },
    release_missing: {
      brief: "no release", count: "no release",
      what: () => "People or property shown have not agreed to its use in advertising.",
      todo: "Use it internally only, or ask a steward to obtain the release.",
    },
    channel_excluded: {
      brief: "not for this channel", count: "not for this channel",
      what: (a) => `It may be used for: ${a.channels}.`,
      todo: "Choose another channel, or ask for the rights to this one.",
    },
    territory_excluded: {
      brief: "not in this country", count: "not in this country",
      what: (a) => `It may be used here: ${a.territory}.`,
      todo: "Choose another country, or ask for the rights to this one.",
    },
    not_approved: {
      brief: "not approved", count: "not approved",
      what: () => "It has not passed review.",
      todo: "Wait for its approval, or ask a steward to look at it.",
    },
    use_not_granted: {
      brief: "use not granted", count: "not granted to you",
      what: () => "You may see it, but its use is not granted to you.",
      todo: "Ask the administrator of its collection for access.",
    },
    other: { brief: "not cleared", count: "for other reasons", what: () => "It is not cleared.", todo: "Ask a steward." },
  },
};
