"""What will this house sell for, and how sure is that? On 7,205 sales in King County from May 2014 to May 2015."""
