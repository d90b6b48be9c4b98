//! A forked process has its parent's memory, and so the state of its generators. A `BufferedRng` notices.

mod child;

use child::in_child;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use symbolon_keys::BufferedRng;

fn draw(rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[test]
fn children_draw_other_bytes() {
    let mut rng = BufferedRng::new();
    draw(&mut rng);
    let child = in_child(|| draw(&mut rng));
    let second = in_child(|| draw(&mut rng));
    let grandchild = in_child(|| in_child(|| draw(&mut rng)));
    let parent = draw(&mut rng);
    let all = [child, second, grandchild, parent];
    for (i, a) in all.iter().enumerate() {
        assert_eq!(a.len(), 64);
        assert!(all[i + 1..].iter().all(|b| a != b), "{i} came twice");
    }
}

#[test]
fn a_generator_that_does_not_notice_repeats() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    draw(&mut rng);
    let child = in_child(|| draw(&mut rng));
    assert_eq!(child, draw(&mut rng), "or the test above could not fail");
}
