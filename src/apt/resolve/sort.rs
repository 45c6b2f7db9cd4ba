//! The order in which apt looks at its packages: by hash, and sorted by score as the C++ library sorts.
//!
//! Where two scores are equal it is this order that decides, and with it which of two packages gives way. The sort is
//! that of libstdc++'s `std::sort`, which is not stable: a median of three, partitions down to sixteen, and one
//! insertion sort over all of it.

/// apt's number of buckets.
const BUCKETS: u32 = 196_613;
/// Partitions of so many are left to the insertion sort.
const SMALL: usize = 16;

/// Returns the key that sorts names as apt walks through them.
///
/// `name::architecture` stands behind `name`, with whose bucket it is kept.
pub(super) fn hash_key(name: &str) -> (u32, usize, &str, &str) {
    let (group, architecture) = name.split_once("::").unwrap_or((name, ""));
    let hash =
        group.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte | 0x20)));
    (hash % BUCKETS, group.len(), group, architecture)
}

/// Sorts `items` as `std::sort` does.
pub(super) fn sort<T: Copy>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool + Copy) {
    let depth = items.len().checked_ilog2().unwrap_or(0) * 2;
    partition_all(items, depth, is_less);
    for place in 1..items.len() {
        insert(items, place, is_less);
    }
}

/// Moves one item to the left until what stands before it is not larger.
fn insert<T: Copy>(items: &mut [T], from: usize, is_less: impl Fn(&T, &T) -> bool) {
    let item = items[from];
    let mut place = from;
    while place > 0 && is_less(&item, &items[place - 1]) {
        items[place] = items[place - 1];
        place -= 1;
    }
    items[place] = item;
}

fn partition_all<T: Copy>(mut items: &mut [T], mut depth: u32, is_less: impl Fn(&T, &T) -> bool + Copy) {
    while items.len() > SMALL {
        if depth == 0 {
            items.sort_by(|a, b| is_less(b, a).cmp(&is_less(a, b)));
            return;
        }
        depth -= 1;
        let cut = partition(items, is_less);
        let (left, right) = items.split_at_mut(cut);
        partition_all(right, depth, is_less);
        items = left;
    }
}

/// Parts the items around the median of three of them; returns where the larger ones begin.
fn partition<T: Copy>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) -> usize {
    let less = |items: &[T], a: usize, b: usize| is_less(&items[a], &items[b]);
    let (a, b, c) = (1, items.len() / 2, items.len() - 1);
    let median = match (less(items, a, b), less(items, b, c), less(items, a, c)) {
        (true, true, _) | (false, false, false) => b,
        (true, false, true) | (false, true, false) => c,
        (true, false, false) | (false, _, true) => a,
    };
    items.swap(0, median);
    let (mut first, mut last) = (1, items.len());
    loop {
        while less(items, first, 0) {
            first += 1;
        }
        last -= 1;
        while less(items, 0, last) {
            last -= 1;
        }
        if first >= last {
            return first;
        }
        items.swap(first, last);
        first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `std::sort` of libstdc++ 12 makes of 40 items that are equal but for four.
    #[test]
    fn equal_items_are_moved_as_the_c_library_moves_them() {
        let mut items: Vec<(i32, usize)> = (0..40).map(|place| (i32::from(place % 13 == 5), place)).collect();
        sort(&mut items, |a, b| a.0 > b.0);
        let order: Vec<String> = items.iter().map(|(_, place)| place.to_string()).collect();
        assert_eq!(order.join(" "), EXPECTED);
    }

    const EXPECTED: &str = "18 5 31 22 20 23 24 25 26 27 28 29 30 32 33 34 35 36 37 38 39 11 1 2 3 4 6 7 8 9 10 21 12 13 14 15 16 17 19 0";

    #[test]
    fn everything_is_sorted_in_the_end() {
        let mut items: Vec<u64> = (0..2000_u64).map(|n| n * 7919 % 1009).collect();
        sort(&mut items, |a, b| a < b);
        assert!(items.is_sorted());
    }

    #[test]
    fn names_go_by_their_bucket() {
        let mut names = ["zsh", "apt", "foo::i386", "foo", "libc6:any"];
        names.sort_by_key(|name| hash_key(name));
        let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
        assert_eq!(place("foo") + 1, place("foo::i386"));
        assert_eq!(hash_key("APT"), (hash_key("apt").0, 3, "APT", ""), "letters count alike, large or small");
    }
}
