// A page whose charts do not change.
page.finish();
