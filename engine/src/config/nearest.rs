//! "Did you mean": the known name that is nearest to an unknown one, by edit distance.

/// How many edits apart a name may be to be suggested.
const EDITS_MAX: usize = 3;

/// A suggestion if one is near, else `otherwise`.
pub(super) fn did_you_mean<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    nearest(unknown, known).map_or_else(
        || otherwise.to_string(),
        |name| format!("did you mean `{name}`?"),
    )
}

/// The nearest known name, if it is near enough to be meant.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // The distance takes time by the product of both lengths, and what is that long is no typo.
    if unknown.len() > 64 {
        return None;
    }
    let near = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(edits, name)| *edits <= EDITS_MAX.min(name.len() / 2));
    near.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["spin_us", "shards", "pin"];
        assert_eq!(
            did_you_mean("spin_ms", known, "none"),
            "did you mean `spin_us`?"
        );
        assert_eq!(
            did_you_mean("shrads", known, "none"),
            "did you mean `shards`?"
        );
        assert_eq!(did_you_mean("compression", known, "none"), "none");
        assert_eq!(did_you_mean(&"s".repeat(100_000), known, "none"), "none");
    }
}
