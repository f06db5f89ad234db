use super::*;

#[test]
fn a_part_of_the_image_is_the_one_that_was_asked_for() {
    assert_eq!(of_range("bytes=0-9", 100), Some(Some(0..10)));
    assert_eq!(of_range("bytes=90-", 100), Some(Some(90..100)));
    assert_eq!(of_range("bytes=-10", 100), Some(Some(90..100)));
    assert_eq!(of_range("bytes=-1000", 100), Some(Some(0..100)));
    assert_eq!(of_range("bytes=95-1000", 100), Some(Some(95..100)));
    assert_eq!(of_range("bytes=100-", 100), Some(None));
    assert_eq!(of_range("bytes=9-3", 100), Some(None));
    for passed_over in [
        "bytes=0-1,5-6",
        "lines=1-2",
        "bytes=x-",
        "bytes=",
        "bytes=-",
    ] {
        assert_eq!(of_range(passed_over, 100), None, "{passed_over}");
    }
}
