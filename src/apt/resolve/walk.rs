//! A way through all packages in a fixed order: apt's own, or that of the scores. What is done on the way is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::cache::PackageId;
use super::marker::Marker;
use super::scores::Scores;
use super::sort::{self, hash_key};

/// A way through all packages, those included that turn up meanwhile.
pub(super) struct Walk<'a> {
    /// Where each name comes, if it does not follow from the name.
    places: Option<Places<'a>>,
    known: BTreeMap<Place, PackageId>,
    n_known: usize,
    last: Option<Place>,
}

type Place = (usize, usize, Box<str>);

impl<'a> Walk<'a> {
    /// The order in which apt keeps its packages.
    pub(super) fn by_hash(marker: &Marker<'a>) -> Walk<'a> {
        Walk::new(None, marker)
    }

    /// The order of the scores, the highest first.
    pub(super) fn by_score(marker: &Marker<'a>, scores: &Scores) -> Walk<'a> {
        let cache = &marker.cache;
        let names = cache.universe.mentioned_names(cache.installed_packages());
        let score = |name: &str| cache.known_id(name).map_or(0, |package| scores.of(package));
        Walk::new(Some(Places::by(names, score)), marker)
    }

    fn new(places: Option<Places<'a>>, marker: &Marker<'a>) -> Walk<'a> {
        let mut walk = Walk { places, known: BTreeMap::new(), n_known: 0, last: None };
        walk.look(marker);
        walk
    }

    /// Goes back to the beginning.
    pub(super) fn begin(&mut self) {
        self.last = None;
    }

    /// Takes in the packages that were not known before.
    fn look(&mut self, marker: &Marker<'_>) {
        for index in self.n_known..marker.cache.len() {
            let package = marker.cache.nth(index);
            let name = marker.cache.name(package);
            let place = match &self.places {
                None => {
                    let (bucket, length, ..) = hash_key(name);
                    (bucket as usize, length, name.into())
                }
                Some(places) => (places.of(name).unwrap_or(usize::MAX), 0, name.into()),
            };
            self.known.insert(place, package);
        }
        self.n_known = marker.cache.len();
    }

    pub(super) fn next(&mut self, marker: &Marker<'_>) -> Option<PackageId> {
        self.look(marker);
        let after = self.last.as_ref().map_or(Unbounded, Excluded);
        let (place, package) = self.known.range((after, Unbounded)).next()?;
        let package = *package;
        self.last = Some(place.clone());
        Some(package)
    }
}

/// Where each of a hundred thousand names comes when they are sorted by score; few of them are ever asked for.
struct Places<'a> {
    /// The names in apt's own order, each with its bucket.
    names: Vec<(u32, Cow<'a, str>)>,
    /// Where each comes.
    places: Vec<u32>,
}

impl<'a> Places<'a> {
    fn by(names: Vec<Cow<'a, str>>, score: impl Fn(&str) -> i32) -> Places<'a> {
        let mut names: Vec<_> = names.into_iter().map(|name| (hash_key(&name).0, name)).collect();
        names.sort_unstable_by(|(a_bucket, a), (b_bucket, b)| {
            a_bucket.cmp(b_bucket).then_with(|| hash_key(a).cmp(&hash_key(b)))
        });
        names.dedup();
        let scores = names.iter().zip(0_u32..).map(|((_, name), nth)| (score(name), nth));
        let mut order: Vec<(i32, u32)> = scores.collect();
        sort::sort(&mut order, |a, b| a.0 > b.0);
        let mut places = vec![0; names.len()];
        for ((_, nth), place) in order.into_iter().zip(0..) {
            places[nth as usize] = place;
        }
        Places { names, places }
    }

    fn of(&self, name: &str) -> Option<usize> {
        let key = hash_key(name);
        let nth = self
            .names
            .binary_search_by(|(bucket, known)| bucket.cmp(&key.0).then_with(|| hash_key(known).cmp(&key)));
        Some(self.places[nth.ok()?] as usize)
    }
}
